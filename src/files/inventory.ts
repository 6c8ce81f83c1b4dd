import { PostgresAdapter, sql, type Kysely } from 'kysely'
import { query } from '../database/database.js'
import type { Database } from '../database/schema.js'
import { findIds } from '../policies/object-key.js'
import type { FileStatus } from './file.js'
import { isSettled } from './file-row.js'
import { COUNTED_STATUSES, type Usage, type UsageKey } from './usage.js'

/** What a comparison with the bucket needs of a row. */
export interface InventoryRow {
  readonly id: string
  readonly key: string
  readonly stagingKey: string | null
  readonly multipartUploadId: string | null
  readonly status: FileStatus
  readonly isPurged: boolean
  readonly etag: string | null
  readonly sizeBytes: number
}

export interface UsageDrift extends UsageKey {
  readonly counted: Usage
  readonly actual: Usage
}

const PAGE = 1000
/** Owners whose files are added up in one query. */
const OWNERS = 50

export type Inventory = ReturnType<typeof createInventory>

/** Rows against what they speak of: read side by side with a bucket's listing, in memory that does not grow. */
export function createInventory (database: Kysely<Database>) {
  const isPostgres = database.getExecutor().adapter instanceof PostgresAdapter
  // As a bucket orders its keys: by bytes, whatever the collation of the database.
  const key = sql<string>`${sql.raw(isPostgres ? 'object_key collate "C"' : 'object_key')}`
  const columns = ['id', 'object_key', 'staging_key', 'multipart_upload_id', 'status', 'purged_at', 'etag', 'size_bytes'] as const

  function toRow (row: { id: string, object_key: string, staging_key: string | null, multipart_upload_id: string | null, status: string, purged_at: number | null, etag: string | null, size_bytes: number }): InventoryRow {
    return {
      id: row.id,
      key: row.object_key,
      stagingKey: row.staging_key,
      multipartUploadId: row.multipart_upload_id,
      status: row.status as FileStatus,
      isPurged: row.purged_at !== null,
      etag: row.etag,
      sizeBytes: row.size_bytes
    }
  }

  /** The sums over all rows of these owners, by policy. */
  async function addUp (executor: Kysely<Database>, keys: readonly UsageKey[]): Promise<Map<string, Usage>> {
    const owners = new Map(keys.map(({ tenant, owner }) => [JSON.stringify([tenant, owner]), { tenant, owner }]))
    const rows = await executor.selectFrom('files')
      .select(['tenant', 'owner', 'policy'])
      .select(({ fn }) => [fn.countAll<number>().as('files'), fn.sum<number>('reserved_bytes').as('bytes'), sql<number>`sum(case when status = 'ready' then 0 else 1 end)`.as('pending')])
      .where('status', 'in', COUNTED_STATUSES)
      .where(where => where.or([...owners.values()].map(({ tenant, owner }) => where.and({ tenant, owner }))))
      .groupBy(['tenant', 'owner', 'policy']).execute()
    return new Map(rows.map(row => [nameOf(row), { files: Number(row.files), bytes: Number(row.bytes), pending: Number(row.pending) }]))
  }

  return {
    /** Rows of settled files whose key lies behind `after` and not behind `upTo`, in the order of their keys; at most a thousand. */
    async rowsBetween (bucket: string, after: string, upTo: string): Promise<InventoryRow[]> {
      return await query(async () => (await database.selectFrom('files').select(columns)
        .where('bucket', '=', bucket).where(key, '>', after).where(key, '<=', upTo).where(isSettled)
        .orderBy(key).limit(PAGE).execute()).map(toRow))
    },

    /** Rows by id; at most a thousand. */
    async rowsById (ids: readonly string[]): Promise<Map<string, InventoryRow>> {
      if (ids.length === 0) return new Map()
      return await query(async () => new Map((await database.selectFrom('files').select(columns).where('id', 'in', ids).execute()).map(row => [row.id, toRow(row)])))
    },

    /** The row that a key belongs to now. That of an upload under way is the one whose id is in the key; a replaced file has the key of another one. */
    async rowOfKey (bucket: string, objectKey: string): Promise<InventoryRow | null> {
      return await query(async () => {
        const named = database.selectFrom('files').select(columns).where('bucket', '=', bucket).where(key, '=', objectKey)
        const ids = findIds(objectKey)
        const row = (ids.length > 0 ? await named.where('id', 'in', ids).executeTakeFirst() : undefined) ?? await named.where(isSettled).executeTakeFirst()
        return row ? toRow(row) : null
      })
    },

    /** Owners whose counters are not the sums over their rows, each checked again while it is locked; `repair` sets them right. */
    async * usageDrift ({ repair }: { readonly repair: boolean }): AsyncGenerator<UsageDrift> {
      let after: UsageKey | undefined
      for (;;) {
        const page = await query(async () => {
          let select = database.selectFrom('usage').selectAll()
          if (after) {
            const { tenant, owner, policy } = after
            select = select.where(where => where(where.refTuple('tenant', 'owner', 'policy'), '>', where.tuple(tenant, owner, policy)))
          }
          return await select.orderBy('tenant').orderBy('owner').orderBy('policy').limit(OWNERS).execute()
        })
        if (page.length === 0) return
        after = page.at(-1)
        const sums = await query(async () => await addUp(database, page))
        for (const row of page) {
          if (isSame(row, sums.get(nameOf(row)) ?? NONE)) continue
          const drift = await query(async () => await database.transaction().execute(async transaction => await confirm(transaction, row, repair)))
          if (drift) yield drift
        }
      }
    }
  }

  /** Nobody changes the counters between this look and the end of the transaction: whoever changes a row waits for them. */
  async function confirm (transaction: Kysely<Database>, { tenant, owner, policy }: UsageKey, repair: boolean): Promise<UsageDrift | null> {
    const of = { tenant, owner, policy }
    const counted = await transaction.updateTable('usage').set({ files: sql`files` })
      .where('tenant', '=', tenant).where('owner', '=', owner).where('policy', '=', policy).returning(['files', 'bytes', 'pending']).executeTakeFirst()
    if (!counted) return null
    const actual = (await addUp(transaction, [of])).get(nameOf(of)) ?? NONE
    if (isSame(counted, actual)) return null
    if (repair) await transaction.updateTable('usage').set(actual).where('tenant', '=', tenant).where('owner', '=', owner).where('policy', '=', policy).execute()
    return { ...of, counted, actual }
  }
}

const NONE: Usage = { files: 0, bytes: 0, pending: 0 }

function nameOf ({ tenant, owner, policy }: UsageKey): string {
  return JSON.stringify([tenant, owner, policy])
}

function isSame (left: Usage, right: Usage): boolean {
  return left.files === right.files && left.bytes === right.bytes && left.pending === right.pending
}
