import { sql, type Transaction } from 'kysely'
import type { Database } from '../database/schema.js'
import type { DeletedFile, FileId, ReadyFile, ScanningFile, VerifyingFile } from './file.js'
import { contentColumns, readyColumns, toFile, WITHOUT_LEASE, type Finding } from './file-row.js'
import { changeUsage } from './usage.js'

/** The file that is ready now, and the tombstone whose object has to go. */
export interface Replaced { readonly ready: ReadyFile, readonly old: DeletedFile | null }

/**
 * Makes a verified upload the content of the file that it replaces, in one transaction: the two rows swap
 * their content, and the upload's row becomes the tombstone of the old object. When the replaced file is not
 * ready any more, the upload becomes a file of its own, so that nothing is lost.
 * @returns null when the lease is lost, or a scanning file has moved on
 */
export async function replaceContent (transaction: Transaction<Database>, file: VerifyingFile | ScanningFile, replaces: FileId, finding: Finding, now: Date): Promise<Replaced | null> {
  const upload = await transaction.updateTable('files')
    .set({ ...WITHOUT_LEASE, ...readyColumns(file, finding, now), updated_at: now.getTime(), version: sql`version + 1` })
    .where('id', '=', file.id).where('status', '=', file.status)
    .$if(file.status === 'verifying', update => update.where('lease_token', '=', file.status === 'verifying' ? file.leaseToken : ''))
    .returningAll().executeTakeFirst()
  if (!upload) return null
  const change = { files: 0, bytes: finding.sizeBytes - file.reservedBytes, pending: -1 }
  const old = await transaction.updateTable('files').set({ version: sql`version + 1` })
    .where('id', '=', replaces).where('status', '=', 'ready').where('tenant', '=', upload.tenant).where('owner', '=', upload.owner)
    .returningAll().executeTakeFirst()
  if (!old) {
    await changeUsage(transaction, upload, change)
    return { ready: toFile(upload) as ReadyFile, old: null }
  }
  const ready = await transaction.updateTable('files')
    .set({ ...contentColumns(upload), metadata: upload.metadata === '{}' ? old.metadata : upload.metadata, updated_at: now.getTime() })
    .where('id', '=', replaces).returningAll().executeTakeFirstOrThrow()
  const tombstone = await transaction.updateTable('files')
    .set({ ...contentColumns(old), status: 'deleted', replaced_into: replaces, next_check_at: old.url_deadline, updated_at: now.getTime() })
    .where('id', '=', file.id).returningAll().executeTakeFirstOrThrow()
  await changeUsage(transaction, upload, { files: -1, bytes: change.bytes - old.reserved_bytes, pending: -1 })
  return { ready: toFile(ready) as ReadyFile, old: toFile(tombstone) as DeletedFile }
}
