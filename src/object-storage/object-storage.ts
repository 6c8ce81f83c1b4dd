/** Where one object is. The key is one that this service made. */
export interface ObjectLocation {
  readonly bucket: string
  readonly key: string
}

/** A request that someone else may send as it is, until `expiresAt`. */
export interface PresignedRequest<Method extends string = string> {
  readonly method: Method
  readonly url: string
  /** Exactly the headers to send besides those that every HTTP client sets by itself. */
  readonly headers: Readonly<Record<string, string>>
  /** Never later than the end of the credentials that signed. */
  readonly expiresAt: Date
}

export interface PresignedForm {
  readonly method: 'POST'
  readonly url: string
  /** In this order, then the file. */
  readonly fields: Readonly<Record<string, string>>
  readonly expiresAt: Date
}

/** What the client says its bytes add up to; the value is base64. */
export interface Checksum {
  readonly algorithm: 'SHA256' | 'CRC32' | 'CRC32C'
  readonly value: string
}

interface Signing {
  /** The life of the signature begins here, in whole seconds, not at the time of the call: the deadline in the row has to cover it. */
  readonly signedAt: Date
  readonly expiresInSeconds: number
}

export interface PresignPut extends ObjectLocation, Signing {
  readonly contentType: string
  readonly sizeBytes: number
  readonly checksum: Checksum | null
}

export interface PresignPost extends ObjectLocation, Signing {
  readonly contentType: string
  readonly minSizeBytes: number
  readonly maxSizeBytes: number
  readonly checksum: Checksum | null
}

export interface PresignParts extends ObjectLocation, Signing {
  readonly multipartUploadId: string
  /** Without a size, any length is taken. The SHA-256 is base64. */
  readonly parts: ReadonlyArray<{ readonly partNumber: number, readonly sizeBytes: number | null, readonly sha256: string | null }>
}

export interface PresignedParts {
  readonly parts: ReadonlyArray<{ readonly partNumber: number, readonly url: string, readonly headers: Readonly<Record<string, string>> }>
  readonly expiresAt: Date
}

export interface PresignGet extends ObjectLocation, Signing {
  readonly method: 'GET' | 'HEAD'
  /**
   * The life begins at the last multiple of this, so that whoever asks for the same in between gets the same URL and a
   * cache may know it. Not more than `expiresInSeconds`, which still counts from the beginning; 1 when left out.
   */
  readonly windowSeconds?: number
  readonly contentType: string
  readonly contentDisposition: string
  /** A GET may go through the CDN in front of the bucket, where there is one: only for bytes that are settled. */
  readonly viaCdn?: boolean
}

/** What the store says of an object. */
export interface StoredObject {
  readonly sizeBytes: number
  readonly etag: string
  readonly contentType: string
  /** Of the whole object, as far as the store keeps them. Those of multipart uploads that are made of parts' checksums are left out. */
  readonly checksums: readonly Checksum[]
  /** Headers that a client stored with the object although nobody signed them, in lower case: `content-encoding`, `x-amz-meta-…`. */
  readonly unsignedHeaders: readonly string[]
}

export interface StoredPart {
  readonly partNumber: number
  readonly etag: string
  readonly sizeBytes: number
  readonly checksums: readonly Checksum[]
}

/** An object as a listing shows it. */
export interface ListedObject {
  readonly key: string
  readonly sizeBytes: number
  readonly etag: string
  readonly modifiedAt: Date
}

/** A multipart upload that is neither completed nor aborted. */
export interface OpenMultipartUpload {
  readonly key: string
  readonly multipartUploadId: string
  readonly initiatedAt: Date
}

/**
 * The port to an S3 store. The presign methods talk to nobody; the others ask the store, try a passing fault up
 * to three times and answer within ten seconds, but for the two that say otherwise.
 *
 * Every method throws an ApiError: OBJECT_STORAGE_ERROR when the store does not answer, refuses, or answers
 * something that is not in its contract, with the cause for the log. A missing object is never an error.
 */
export interface ObjectStorage {
  /**
   * A create-only PUT that binds key, length, content type and, where given, a checksum. The store answers
   * 412 when the key holds an object already.
   */
  presignPut (put: PresignPut): Promise<PresignedRequest<'PUT'>>

  /** A form that binds key, content type, checksum and a range of lengths. It overwrites: give it a key of its own. */
  presignPost (post: PresignPost): Promise<PresignedForm>

  /** One PUT per part, each bound to its exact length and its SHA-256 where it has one, the latter by the hash of the payload. Any number of parts keeps the event loop for a few milliseconds at most. */
  presignParts (parts: PresignParts): Promise<PresignedParts>

  /** A GET or HEAD whose reply carries this content type and disposition, whatever the object was stored with. */
  presignGet (get: PresignGet): Promise<PresignedRequest<'GET' | 'HEAD'>>

  presignDelete (location: ObjectLocation & Signing): Promise<PresignedRequest<'DELETE'>>

  /**
   * Null only when the store says 404. A 403 is an error: stores answer it instead of 404 to a role that may
   * not list the bucket.
   */
  headObject (location: ObjectLocation): Promise<StoredObject | null>

  /**
   * The first bytes of exactly this version of an object: fewer than asked when it is shorter, null when the
   * object with this ETag is gone or changed. Not for empty objects, which have no ranges (416).
   */
  readFirstBytes (location: ObjectLocation, etag: string, count: number): Promise<Uint8Array | null>

  /**
   * Copies exactly this version inside a bucket, with no headers but the content type. Null when the source
   * with this ETag is gone or changed. Safe to repeat; up to 5 GiB, and up to a minute.
   */
  copyObject (from: ObjectLocation, toKey: string, source: { readonly etag: string, readonly contentType: string }): Promise<{ readonly etag: string } | null>

  /** Safe to repeat: a missing object is deleted already. */
  deleteObject (location: ObjectLocation): Promise<void>

  /** @returns the multipart upload id: a secret of this service's, and S3's name for the upload */
  createMultipartUpload (location: ObjectLocation, object: { readonly contentType: string, readonly checksum: Checksum | null }): Promise<string>

  /** All parts in order, through all pages; null when there is no such upload. */
  listParts (location: ObjectLocation, multipartUploadId: string): Promise<StoredPart[] | null>

  /**
   * Makes an object of the parts, create-only where the store can. `gone`: there is no such upload, or the key
   * is taken; an earlier call that lost its reply looks like this, too, so HEAD tells. `other bytes`: the store has
   * found that the parts do not add up to the checksum, and made nothing. Up to five minutes.
   */
  completeMultipartUpload (location: ObjectLocation, multipartUploadId: string, parts: readonly StoredPart[], checksum: Checksum | null): Promise<'completed' | 'gone' | 'other bytes'>

  /** Until no part is left. Safe to repeat. */
  abortMultipartUpload (location: ObjectLocation, multipartUploadId: string): Promise<void>

  /** All objects whose keys begin so, in the order of their keys (by UTF-8 bytes), page by page, in the same memory for any number. */
  listObjects (bucket: string, prefix: string): AsyncIterable<ListedObject>

  /** All open multipart uploads whose keys begin so, in the order of their keys, page by page. */
  listMultipartUploads (bucket: string, prefix: string): AsyncIterable<OpenMultipartUpload>

  /** Whether the bucket answers with these credentials, for the detail of `/readyz`. */
  isReachable (bucket: string): Promise<boolean>

  /** Ends connections. */
  close (): void
}
