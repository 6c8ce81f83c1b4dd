import { sql, type Insertable, type Selectable } from 'kysely'
import type { FilesTable } from '../database/schema.js'
import type { ObjectKey } from '../policies/object-key.js'
import type { Checksum } from '../object-storage/object-storage.js'
import type { UploadMethod, Visibility } from '../policies/policy.js'
import type { File, FileId, FileStatus, PendingFile, ScanningFile, VerifyingFile } from './file.js'

/** Stands in `size_bytes` for a size that nobody knows yet. */
export const UNKNOWN_SIZE = -1

/** The one place where columns become a file. */
export function toFile (row: Selectable<FilesTable>): File {
  const base = {
    status: row.status as FileStatus,
    id: row.id as FileId,
    tenant: row.tenant,
    owner: row.owner,
    policy: row.policy,
    filename: row.filename,
    contentType: row.content_type,
    method: row.method as UploadMethod,
    sizeBytes: row.size_bytes === UNKNOWN_SIZE ? null : row.size_bytes,
    reservedBytes: row.reserved_bytes,
    checksum: toChecksum(row),
    visibility: row.visibility as Visibility,
    bucket: row.bucket,
    key: row.object_key as ObjectKey,
    stagingKey: row.staging_key as ObjectKey | null,
    multipartUploadId: row.multipart_upload_id,
    partSizeBytes: row.part_size_bytes,
    metadata: JSON.parse(row.metadata) as Record<string, string>,
    replaces: row.replaces as FileId | null,
    urlDeadline: new Date(row.url_deadline),
    version: row.version,
    attempts: row.attempts,
    createdAt: new Date(row.created_at),
    updatedAt: new Date(row.updated_at)
  }
  return Object.assign(base, propertiesOf(row)) as File
}

/** What files in this state have besides. */
function propertiesOf (row: Selectable<FilesTable>) {
  switch (row.status as FileStatus) {
    case 'verifying': return { leaseToken: row.lease_token ?? '', leaseUntil: new Date(row.lease_until ?? 0) }
    case 'scanning': return { etag: row.etag ?? '' }
    case 'ready': return { etag: row.etag ?? '', readyAt: new Date(row.ready_at ?? 0) }
    case 'rejected': return { rejectedReason: row.rejected_reason ?? '' }
    case 'deleted': return { replacedInto: row.replaced_into as FileId | null }
    case 'pending': case 'expired': return null
  }
}

function toChecksum (row: Selectable<FilesTable>): Checksum | null {
  if (row.checksum_sha256 !== null) return { algorithm: 'SHA256', value: row.checksum_sha256 }
  if (row.checksum_crc32 !== null) return { algorithm: 'CRC32', value: row.checksum_crc32 }
  return row.checksum_crc32c === null ? null : { algorithm: 'CRC32C', value: row.checksum_crc32c }
}

/** A file as it will be once it is inserted, and what else its row has. */
export interface NewFile extends PendingFile {
  readonly nextCheckAt: Date
  /** Unique within the owner; `hash` tells whether a repeated request is the same. */
  readonly idempotency: { readonly key: string, readonly hash: string } | null
}

/** Columns that no new file has a value in are left to be null. */
export function newRow (file: NewFile): Insertable<FilesTable> {
  const checksumOf = (algorithm: Checksum['algorithm']) => file.checksum?.algorithm === algorithm ? file.checksum.value : null
  return {
    id: file.id,
    tenant: file.tenant,
    owner: file.owner,
    policy: file.policy,
    status: file.status,
    version: file.version,
    filename: file.filename,
    content_type: file.contentType,
    method: file.method,
    size_bytes: file.sizeBytes ?? UNKNOWN_SIZE,
    reserved_bytes: file.reservedBytes,
    part_size_bytes: file.partSizeBytes,
    checksum_sha256: checksumOf('SHA256'),
    checksum_crc32: checksumOf('CRC32'),
    checksum_crc32c: checksumOf('CRC32C'),
    visibility: file.visibility,
    bucket: file.bucket,
    object_key: file.key,
    staging_key: file.stagingKey,
    multipart_upload_id: file.multipartUploadId,
    metadata: JSON.stringify(file.metadata),
    replaces: file.replaces,
    url_deadline: file.urlDeadline.getTime(),
    next_check_at: file.nextCheckAt.getTime(),
    attempts: file.attempts,
    idem_key: file.idempotency?.key ?? null,
    idem_hash: file.idempotency?.hash ?? null,
    created_at: file.createdAt.getTime(),
    updated_at: file.updatedAt.getTime()
  }
}

/** Whether an upload is over, in the words of the indexes that hold no others: a query that says so, too, reads through them. */
export const isSettled = sql<boolean>`status not in ('pending', 'verifying')`

/** The columns that belong to the bytes, not to the file: what a replacement swaps. */
const CONTENT_COLUMNS = [
  'filename', 'content_type', 'method', 'size_bytes', 'reserved_bytes', 'part_size_bytes', 'checksum_sha256', 'checksum_crc32', 'checksum_crc32c',
  'bucket', 'object_key', 'staging_key', 'multipart_upload_id', 'etag', 'url_deadline', 'ready_at', 'next_check_at'
] as const

export function contentColumns (row: Selectable<FilesTable>): Pick<Selectable<FilesTable>, typeof CONTENT_COLUMNS[number]> {
  return Object.fromEntries(CONTENT_COLUMNS.map(name => [name, row[name]])) as Pick<Selectable<FilesTable>, typeof CONTENT_COLUMNS[number]>
}

/** What a verification found; it becomes the row in one transaction. */
export interface Finding { readonly etag: string, readonly sizeBytes: number }

export const WITHOUT_LEASE = { lease_token: null, lease_until: null, next_check_at: null }

/** When the sweeper looks for parts that lost, unless whoever completed the upload has seen to it. */
const LEFTOVERS_MS = 60_000

/** A staging key stays in the row until its form has ended: whoever holds it can write there again. */
export function readyColumns (file: VerifyingFile | ScanningFile, { etag, sizeBytes }: Finding, now: Date) {
  return {
    status: 'ready',
    etag,
    size_bytes: sizeBytes,
    reserved_bytes: sizeBytes,
    ready_at: now.getTime(),
    next_check_at: file.stagingKey !== null ? file.urlDeadline.getTime() : file.method === 'multipart' ? now.getTime() + LEFTOVERS_MS : null
  }
}
