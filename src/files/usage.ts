import { sql, type Transaction } from 'kysely'
import type { Database } from '../database/schema.js'
import type { Quota } from '../policies/policy.js'

export interface Usage {
  readonly files: number
  readonly bytes: number
  readonly pending: number
}

/** Whose usage, under which policy. */
export interface UsageKey {
  readonly tenant: string
  readonly owner: string
  readonly policy: string
}

export const NO_USAGE: Usage = { files: 0, bytes: 0, pending: 0 }

/**
 * Locks the counters of an owner until the transaction ends, and reads them. Nobody else can reserve in between,
 * so that what is decided by these numbers holds.
 */
export async function lockUsage (transaction: Transaction<Database>, { tenant, owner, policy }: UsageKey): Promise<Usage> {
  return await transaction.insertInto('usage').values({ tenant, owner, policy, ...NO_USAGE })
    // An update that changes nothing: it takes the lock on a row that is there already.
    .onConflict(conflict => conflict.columns(['tenant', 'owner', 'policy']).doUpdateSet({ files: sql`usage.files` }))
    .returning(['files', 'bytes', 'pending']).executeTakeFirstOrThrow()
}

/** Adds to the counters; negative numbers give back. */
export async function changeUsage (transaction: Transaction<Database>, { tenant, owner, policy }: UsageKey, change: Usage): Promise<void> {
  await transaction.updateTable('usage')
    .set({ files: sql`files + ${change.files}`, bytes: sql`bytes + ${change.bytes}`, pending: sql`pending + ${change.pending}` })
    .where('tenant', '=', tenant).where('owner', '=', owner).where('policy', '=', policy)
    .execute()
}

/** Which limit one more pending file of this size would break, or null. */
export function findExceeded (usage: Usage, quota: Quota, bytes: number): keyof Quota | null {
  if (quota.pending !== undefined && usage.pending + 1 > quota.pending) return 'pending'
  if (quota.files !== undefined && usage.files + 1 > quota.files) return 'files'
  // Sums beyond 2^53 could not be counted exactly any more.
  if (usage.bytes + bytes > (quota.bytes ?? Number.MAX_SAFE_INTEGER)) return 'bytes'
  return null
}
