import { CompiledQuery, PostgresAdapter, type Kysely } from 'kysely'
import { keepPrepared } from '../database/prepared-statements.js'
import type { Database } from '../database/schema.js'
import { takeTurns } from '../take-turns.js'
import { countByOwner, type NewUpload } from './count-by-owner.js'
import { newRow } from './file-row.js'
import type { Inserted } from './insert-pending.js'
import { toJson } from './insert-rows.js'

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const NOT_NULL_VIOLATION = '23502'
const UNIQUE_VIOLATION = '23505'

const isOfOwner = 'usage.tenant = asked.tenant and usage.owner = asked.owner and usage.policy = asked.policy'
const fits = (held: string, added: string) => `${held}.files + ${added}.files <= max_files and ${held}.bytes + ${added}.bytes <= max_bytes and ${held}.pending + ${added}.pending <= max_pending`

/**
 * Reserves for all owners of $1, in its order, or for none where it is seen at once that one has no room. Where others
 * take that room in between, rows of $2 find no reservation, so have no owner, and fail with everything. The limit has counters
 * looked up one by one: all would be read where there were few when the plan was made.
 */
const statementOf = (columns: readonly string[]): string => `with asked as materialized (
  select * from json_to_recordset($1) as asked (position int, tenant text, owner text, policy text, files bigint, bytes bigint, pending bigint, max_files bigint, max_bytes bigint, max_pending bigint)
), reserved as (
  insert into usage (tenant, owner, policy, files, bytes, pending)
  select tenant, owner, policy, files, bytes, pending from asked
  where not exists (
    select from asked cross join lateral (select files, bytes, pending from usage where ${isOfOwner} limit 1) as held
    where not (${fits('held', 'asked')})
  )
  order by position
  on conflict (tenant, owner, policy) do update
  set files = usage.files + excluded.files, bytes = usage.bytes + excluded.bytes, pending = usage.pending + excluded.pending
  where (select ${fits('usage', 'excluded')} from asked where ${isOfOwner})
  returning tenant, owner, policy
)
insert into files (${columns.join(', ')})
select ${columns.map(name => `${name === 'owner' ? 'reserved' : 'file'}.${name}`).join(', ')}
from json_populate_recordset(null::files, $2) as file left join reserved using (tenant, owner, policy)
where (select count(*) from reserved) > 0
returning id`

/** All new rows have the same columns. */
let statement: string | undefined

/**
 * Inserts new uploads on PostgreSQL, and reserves what they need, by one statement, which is a transaction of its own: one
 * round trip instead of four or more, during which the owners' counters are locked.
 * @returns null when that cannot be: a quota has no room for all, an idempotency key is taken, an upload has a ticket, or
 * the database is another one. Nothing has happened then, and each upload has to be looked at.
 */
export async function insertAtOnce (database: Kysely<Database>, uploads: readonly NewUpload[]): Promise<Inserted[] | null> {
  if (!(database.getExecutor().adapter instanceof PostgresAdapter) || uploads.some(({ ticketId }) => ticketId !== undefined)) return null
  const counted = countByOwner(uploads)
  // Who holds nothing yet has no counters to be compared with.
  if (counted.some(({ reserved, limits }) => reserved.files > limits.files || reserved.bytes > limits.bytes || reserved.pending > limits.pending)) return null
  const asked = counted.map(({ key: { tenant, owner, policy }, reserved: { files, bytes, pending }, limits }, position) =>
    ({ position, tenant, owner, policy, files, bytes, pending, max_files: limits.files, max_bytes: limits.bytes, max_pending: limits.pending }))
  const rows = counted.flatMap(({ uploads }) => uploads.map(({ file }) => newRow(file)))
  statement ??= keepPrepared(statementOf(Object.keys(rows[0] as object)))
  try {
    const { rows: made } = await database.executeQuery<{ id: string }>(CompiledQuery.raw(statement, [JSON.stringify(asked), await toJson(rows, takeTurns())]))
    const ids = new Set(made.map(({ id }) => id))
    return ids.size === 0 ? null : uploads.map(({ file }) => ids.has(file.id) ? { outcome: 'inserted', file } : { outcome: 'duplicate' })
  } catch (error) {
    const { code } = error as { code?: unknown }
    if (code === NOT_NULL_VIOLATION || code === UNIQUE_VIOLATION) return null
    throw error
  }
}
