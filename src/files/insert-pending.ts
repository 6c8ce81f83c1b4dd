import type { Transaction } from 'kysely'
import type { Database } from '../database/schema.js'
import type { Quota } from '../policies/policy.js'
import { takeTurns } from '../take-turns.js'
import { add, countByOwner, type NewUpload } from './count-by-owner.js'
import type { PendingFile } from './file.js'
import { newRow, type NewFile } from './file-row.js'
import { insertRows } from './insert-rows.js'
import { spendTicket } from './spend-ticket.js'
import { changeUsage, findExceeded, NO_USAGE, reserveUsage } from './usage.js'

/** What became of one new upload: it is there, a limit is reached, or its idempotency key is taken. */
export type Inserted =
  | { readonly outcome: 'inserted', readonly file: PendingFile }
  | { readonly outcome: 'exceeded', readonly limit: keyof Quota | 'ticket' }
  | { readonly outcome: 'duplicate' }

/**
 * Inserts what fits into its owner's quota, and its ticket where it has one, and reserves it, each upload deciding for itself. The order of the
 * outcomes is that of the uploads. Where all fit, it takes a statement for each owner and one for the rows.
 */
export async function insertPending (transaction: Transaction<Database>, uploads: readonly NewUpload[]): Promise<Inserted[]> {
  const wait = takeTurns()
  const counted = countByOwner(uploads)
  const outcomes = new Map<NewFile, Inserted>()
  const fitting: NewFile[] = []
  for (const { key, uploads, reserved } of counted) {
    // All is reserved first, and given back below.
    let usage = await reserveUsage(transaction, key, reserved)
    for (const { file, quota, ticketId } of uploads) {
      const limit = findExceeded(usage, quota, file.reservedBytes) ?? (ticketId === undefined || await spendTicket(transaction, ticketId, file) ? null : 'ticket')
      if (limit !== null) outcomes.set(file, { outcome: 'exceeded', limit })
      else {
        usage = add(usage, file)
        fitting.push(file)
      }
    }
  }
  const ids = await insertRows(transaction, fitting.map(newRow), wait)
  for (const file of fitting) if (ids.has(file.id)) outcomes.set(file, { outcome: 'inserted', file })
  if (ids.size < uploads.length) {
    for (const { key, reserved, uploads } of counted) {
      const kept = uploads.filter(({ file }) => ids.has(file.id)).map(({ file }) => file).reduce(add, NO_USAGE)
      if (kept.files < reserved.files) await changeUsage(transaction, key, { files: kept.files - reserved.files, bytes: kept.bytes - reserved.bytes, pending: kept.pending - reserved.pending })
    }
  }
  // The commit waits for the disk.
  await wait()
  return uploads.map(({ file }) => outcomes.get(file) ?? { outcome: 'duplicate' })
}
