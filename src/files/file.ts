import type { Checksum } from '../object-storage/object-storage.js'
import type { ObjectKey } from '../policies/object-key.js'
import type { UploadMethod, Visibility } from '../policies/policy.js'

/** The id of a file, which is its upload's id too. Made by `services.newId` alone. */
export type FileId = string & { readonly brand: 'FileId' }

interface FileBase {
  readonly id: FileId
  readonly tenant: string
  readonly owner: string
  readonly policy: string
  readonly filename: string
  readonly contentType: string
  readonly method: UploadMethod
  /** What the client declared and the signature binds; null until a form without a size has arrived. */
  readonly sizeBytes: number | null
  /** What the row counts for in its owner's usage: the size, or the most it may be. */
  readonly reservedBytes: number
  /** What the client declared and the signature binds. */
  readonly checksum: Checksum | null
  readonly visibility: Visibility
  readonly bucket: string
  readonly key: ObjectKey
  /** Where clients write, when that is not the final key: a sealed copy of it becomes the file. */
  readonly stagingKey: ObjectKey | null
  /** S3's name of the multipart upload; null before it is begun, and for the other methods. */
  readonly multipartUploadId: string | null
  /** Of every part but the last; null for the other methods. */
  readonly partSizeBytes: number | null
  readonly metadata: Readonly<Record<string, string>>
  /** The file whose content this upload replaces when it becomes ready. */
  readonly replaces: FileId | null
  /** Until when any write URL ever handed out for this key is valid. */
  readonly urlDeadline: Date
  readonly version: number
  /** How often a verification was begun. */
  readonly attempts: number
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** Waiting for the bytes. */
export interface PendingFile extends FileBase { readonly status: 'pending' }
/** One process holds a lease and looks at the object; a lease that ran out may be taken over. */
export interface VerifyingFile extends FileBase { readonly status: 'verifying', readonly leaseToken: string, readonly leaseUntil: Date }
/** What arrived is what was promised, and someone else still looks for what is harmful: nobody can download it. */
export interface ScanningFile extends FileBase { readonly status: 'scanning', readonly sizeBytes: number, readonly etag: string }
/** What arrived is what was promised: this file can be downloaded. */
export interface ReadyFile extends FileBase { readonly status: 'ready', readonly sizeBytes: number, readonly etag: string, readonly readyAt: Date }
/** What arrived is not what was promised, or is harmful; the object is deleted. */
export interface RejectedFile extends FileBase { readonly status: 'rejected', readonly rejectedReason: string }
/** Given up before any bytes were accepted. */
export interface ExpiredFile extends FileBase { readonly status: 'expired' }
/** Gone. `replacedInto` names the file that took over its content, when the upload was a replacement. */
export interface DeletedFile extends FileBase { readonly status: 'deleted', readonly replacedInto: FileId | null }

/**
 * A row, by its state: pending → verifying → ready | rejected, pending → expired, ready → deleted.
 * Where the policy has files scanned, verifying → scanning → ready | rejected, and scanning → expired.
 * Rejected, expired and deleted rows are tombstones: they stay until the object is gone and `urlDeadline` has passed.
 */
export type File = PendingFile | VerifyingFile | ScanningFile | ReadyFile | RejectedFile | ExpiredFile | DeletedFile
export type FileStatus = File['status']

/** Everything but the tombstone of a deleted file. */
export type LivingFile = Exclude<File, DeletedFile>
