import { sql, type Transaction } from 'kysely'
import type { Database } from '../database/schema.js'
import type { NewFile } from './file-row.js'

/**
 * Counts one more upload against a ticket, in the transaction that inserts it. A ticket is of one owner and one
 * policy, whose usage the transaction has locked already: no two of them wait for each other here.
 * @returns false when a cap would be passed, or the ticket is over
 */
export async function spendTicket (transaction: Transaction<Database>, ticketId: string, { reservedBytes, createdAt }: NewFile): Promise<boolean> {
  const spent = await transaction.updateTable('upload_tickets')
    .set({ used_files: sql`used_files + 1`, used_bytes: sql`used_bytes + ${reservedBytes}` })
    .where('id', '=', ticketId).where('revoked_at', 'is', null).where('expires_at', '>', createdAt.getTime())
    .where(sql<boolean>`used_files < max_files`).where(sql<boolean>`used_bytes + ${reservedBytes} <= max_bytes`)
    .returning('id').executeTakeFirst()
  return spent !== undefined
}
