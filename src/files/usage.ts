import { sql, type Transaction } from 'kysely'
import { prepareQuery } from '../database/prepare-query.js'
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

/** Rows in these states hold bytes of their owner. */
export const COUNTED_STATUSES = ['pending', 'verifying', 'scanning', 'ready'] as const

export const NO_USAGE: Usage = { files: 0, bytes: 0, pending: 0 }

const addUsage = prepareQuery<UsageKey & Usage, Usage>((database, value) => database.insertInto('usage')
  .values({ tenant: value('tenant'), owner: value('owner'), policy: value('policy'), files: value('files'), bytes: value('bytes'), pending: value('pending') })
  .onConflict(conflict => conflict.columns(['tenant', 'owner', 'policy']).doUpdateSet({
    files: sql`usage.files + excluded.files`, bytes: sql`usage.bytes + excluded.bytes`, pending: sql`usage.pending + excluded.pending`
  }))
  .returning(['files', 'bytes', 'pending']))

/**
 * Adds to the counters of an owner, and locks them until the transaction ends: nobody else reserves in between,
 * so that what is decided by these numbers holds.
 * @returns the counters as they were before
 */
export async function reserveUsage (transaction: Transaction<Database>, { tenant, owner, policy }: UsageKey, added: Usage): Promise<Usage> {
  const [after] = await addUsage(transaction, { tenant, owner, policy, ...added }) as [Usage]
  return { files: after.files - added.files, bytes: after.bytes - added.bytes, pending: after.pending - added.pending }
}

/** Adds to the counters; negative numbers give back. */
export async function changeUsage (transaction: Transaction<Database>, { tenant, owner, policy }: UsageKey, change: Usage): Promise<void> {
  await transaction.updateTable('usage')
    .set({ files: sql`files + ${change.files}`, bytes: sql`bytes + ${change.bytes}`, pending: sql`pending + ${change.pending}` })
    .where('tenant', '=', tenant).where('owner', '=', owner).where('policy', '=', policy)
    .execute()
}

/** Four petabytes: sums beyond 2^53 could not be counted exactly, and a batch is added before it is looked at. */
const MAX_COUNTED = 2 ** 52

/** What an owner may hold at most. */
export function limitsOf (quota: Quota): Usage {
  return { files: quota.files ?? MAX_COUNTED, bytes: Math.min(quota.bytes ?? MAX_COUNTED, MAX_COUNTED), pending: quota.pending ?? MAX_COUNTED }
}

/** Which limit one more pending file of this size would break, or null. */
export function findExceeded (usage: Usage, quota: Quota, bytes: number): keyof Quota | null {
  const limits = limitsOf(quota)
  if (usage.pending + 1 > limits.pending) return 'pending'
  if (usage.files + 1 > limits.files) return 'files'
  return usage.bytes + bytes > limits.bytes ? 'bytes' : null
}
