import type { Selectable } from 'kysely'
import type { FilesTable } from '../database/schema.js'
import type { ObjectKey } from '../policies/object-key.js'
import type { Visibility } from '../policies/policy.js'
import type { File, FileId, FileStatus } from './file.js'

/** The one place where columns become a file. */
export function toFile (row: Selectable<FilesTable>): File {
  const base = {
    id: row.id as FileId,
    tenant: row.tenant,
    owner: row.owner,
    policy: row.policy,
    filename: row.filename,
    contentType: row.content_type,
    sizeBytes: row.size_bytes,
    checksumSha256: row.checksum_sha256,
    visibility: row.visibility as Visibility,
    bucket: row.bucket,
    key: row.object_key as ObjectKey,
    metadata: JSON.parse(row.metadata) as Record<string, string>,
    replaces: row.replaces as FileId | null,
    urlDeadline: new Date(row.url_deadline),
    version: row.version,
    createdAt: new Date(row.created_at),
    updatedAt: new Date(row.updated_at)
  }
  switch (row.status as FileStatus) {
    case 'pending': return { ...base, status: 'pending' }
    case 'verifying': return { ...base, status: 'verifying', leaseToken: row.lease_token ?? '', leaseUntil: new Date(row.lease_until ?? 0) }
    case 'ready': return { ...base, status: 'ready', etag: row.etag ?? '', readyAt: new Date(row.ready_at ?? 0) }
    case 'rejected': return { ...base, status: 'rejected', rejectedReason: row.rejected_reason ?? '' }
    case 'expired': return { ...base, status: 'expired' }
    case 'deleted': return { ...base, status: 'deleted', replacedInto: row.replaced_into as FileId | null }
  }
}
