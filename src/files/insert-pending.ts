import type { Transaction } from 'kysely'
import type { Database } from '../database/schema.js'
import type { Quota } from '../policies/policy.js'
import type { PendingFile } from './file.js'
import { newRow, toFile, type NewFile } from './file-row.js'
import { changeUsage, findExceeded, lockUsage, NO_USAGE, type Usage, type UsageKey } from './usage.js'

export interface NewUpload { readonly file: NewFile, readonly quota: Quota }

/** What became of one new upload: it is there, a limit is reached, or its idempotency key is taken. */
export type Inserted =
  | { readonly outcome: 'inserted', readonly file: PendingFile }
  | { readonly outcome: 'exceeded', readonly limit: keyof Quota }
  | { readonly outcome: 'duplicate' }

/** Inserts what fits into its owner's quota and reserves it, each upload deciding for itself. The order of the outcomes is that of the uploads. */
export async function insertPending (transaction: Transaction<Database>, uploads: readonly NewUpload[]): Promise<Inserted[]> {
  const reserved = new Map<string, { key: UsageKey, usage: Usage, added: Usage }>()
  // Always in one order, so that two batches never wait for each other.
  for (const { file } of [...uploads].sort((left, right) => usageId(left.file) < usageId(right.file) ? -1 : 1)) {
    if (!reserved.has(usageId(file))) reserved.set(usageId(file), { key: file, usage: await lockUsage(transaction, file), added: NO_USAGE })
  }
  const exceeded = new Map<NewFile, keyof Quota>()
  const seenKeys = new Set<string>()
  const repeated = new Set<NewFile>()
  for (const { file, quota } of uploads) {
    const counters = reserved.get(usageId(file))
    const key = file.idempotency && JSON.stringify([file.tenant, file.owner, file.idempotency.key])
    // Of requests with one key that came together, only the first may count.
    if (!counters || (key !== null && seenKeys.has(key))) {
      repeated.add(file)
      continue
    }
    if (key !== null) seenKeys.add(key)
    const limit = findExceeded(counters.usage, quota, file.reservedBytes)
    if (limit === null) counters.usage = add(counters.usage, file)
    else exceeded.set(file, limit)
  }
  const fitting = uploads.filter(({ file }) => !exceeded.has(file) && !repeated.has(file)).map(({ file }) => newRow(file))
  const rows = fitting.length === 0
    ? []
    : await transaction.insertInto('files').values(fitting).onConflict(conflict => conflict.doNothing()).returningAll().execute()
  const inserted = new Map(rows.map(row => [row.id, toFile(row) as PendingFile]))
  for (const { file } of uploads) {
    const counters = reserved.get(usageId(file))
    if (counters && inserted.has(file.id)) counters.added = add(counters.added, file)
  }
  for (const { key, added } of reserved.values()) if (added.files > 0) await changeUsage(transaction, key, added)
  return uploads.map(({ file }): Inserted => {
    const limit = exceeded.get(file)
    if (limit !== undefined) return { outcome: 'exceeded', limit }
    const row = inserted.get(file.id)
    return row ? { outcome: 'inserted', file: row } : { outcome: 'duplicate' }
  })
}

function usageId ({ tenant, owner, policy }: UsageKey): string {
  return JSON.stringify([tenant, owner, policy])
}

function add (usage: Usage, file: NewFile): Usage {
  return { files: usage.files + 1, bytes: usage.bytes + file.reservedBytes, pending: usage.pending + 1 }
}
