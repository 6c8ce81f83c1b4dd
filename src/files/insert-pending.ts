import type { Transaction } from 'kysely'
import type { Database } from '../database/schema.js'
import type { Quota } from '../policies/policy.js'
import { takeTurns } from '../take-turns.js'
import type { PendingFile } from './file.js'
import { newRow, type NewFile } from './file-row.js'
import { insertRows } from './insert-rows.js'
import { spendTicket } from './spend-ticket.js'
import { changeUsage, findExceeded, NO_USAGE, reserveUsage, type Usage, type UsageKey } from './usage.js'

export interface NewUpload {
  readonly file: NewFile
  readonly quota: Quota
  /** The upload ticket that it counts against. */
  readonly ticketId?: string | undefined
}

/** What became of one new upload: it is there, a limit is reached, or its idempotency key is taken. */
export type Inserted =
  | { readonly outcome: 'inserted', readonly file: PendingFile }
  | { readonly outcome: 'exceeded', readonly limit: keyof Quota | 'ticket' }
  | { readonly outcome: 'duplicate' }

/**
 * Inserts what fits into its owner's quota, and its ticket where it has one, and reserves it, each upload deciding for itself. The order of the
 * outcomes is that of the uploads. In the common case, where all fit, it takes two statements.
 */
export async function insertPending (transaction: Transaction<Database>, uploads: readonly NewUpload[]): Promise<Inserted[]> {
  const wait = takeTurns()
  const counted = countByOwner(uploads)
  // Always in one order, so that two transactions never wait for each other. All is reserved first, and given back below.
  for (const counters of [...counted.values()].sort((left, right) => left.id < right.id ? -1 : 1)) {
    counters.usage = await reserveUsage(transaction, counters.key, counters.reserved)
  }
  const outcomes = new Map<NewFile, Inserted>()
  const fitting: NewFile[] = []
  for (const counters of counted.values()) {
    for (const { file, quota, ticketId } of counters.uploads) {
      const limit = findExceeded(counters.usage, quota, file.reservedBytes) ?? (ticketId === undefined || await spendTicket(transaction, ticketId, file) ? null : 'ticket')
      if (limit !== null) outcomes.set(file, { outcome: 'exceeded', limit })
      else {
        counters.usage = add(counters.usage, file)
        fitting.push(file)
      }
    }
  }
  const ids = await insertRows(transaction, fitting.map(newRow), wait)
  for (const file of fitting) if (ids.has(file.id)) outcomes.set(file, { outcome: 'inserted', file })
  if (ids.size < uploads.length) {
    for (const { key, reserved, uploads } of counted.values()) {
      const kept = uploads.filter(({ file }) => ids.has(file.id)).map(({ file }) => file).reduce(add, NO_USAGE)
      if (kept.files < reserved.files) await changeUsage(transaction, key, { files: kept.files - reserved.files, bytes: kept.bytes - reserved.bytes, pending: kept.pending - reserved.pending })
    }
  }
  // The commit waits for the disk.
  await wait()
  return uploads.map(({ file }) => outcomes.get(file) ?? { outcome: 'duplicate' })
}

interface Counters {
  readonly id: string
  readonly key: UsageKey
  readonly uploads: NewUpload[]
  /** What all uploads together would hold. */
  reserved: Usage
  usage: Usage
}

/** Groups uploads by whose usage they count in. Of requests with one idempotency key that came together, only the first may count. */
function countByOwner (uploads: readonly NewUpload[]): Map<string, Counters> {
  const counted = new Map<string, Counters>()
  const seenKeys = new Set<string>()
  for (const upload of uploads) {
    const { file } = upload
    if (file.idempotency) {
      const key = JSON.stringify([file.tenant, file.owner, file.idempotency.key])
      if (seenKeys.has(key)) continue
      seenKeys.add(key)
    }
    // None of them has control characters.
    const id = `${file.tenant}\n${file.owner}\n${file.policy}`
    const counters = counted.get(id) ?? { id, key: file, uploads: [], reserved: NO_USAGE, usage: NO_USAGE }
    counters.uploads.push(upload)
    counters.reserved = add(counters.reserved, file)
    counted.set(id, counters)
  }
  return counted
}

function add (usage: Usage, file: NewFile): Usage {
  return { files: usage.files + 1, bytes: usage.bytes + file.reservedBytes, pending: usage.pending + 1 }
}
