import { CompiledQuery, PostgresAdapter, type Transaction } from 'kysely'
import type { Database, FilesTable } from '../database/schema.js'
import type { newRow } from './file-row.js'

type NewRow = ReturnType<typeof newRow>

/** What a new row can have other than null. */
const COLUMNS = [
  'id', 'tenant', 'owner', 'policy', 'status', 'version', 'filename', 'content_type', 'method', 'size_bytes', 'reserved_bytes', 'part_size_bytes',
  'checksum_sha256', 'checksum_crc32', 'checksum_crc32c', 'visibility', 'bucket', 'object_key', 'staging_key', 'metadata', 'replaces',
  'url_deadline', 'next_check_at', 'attempts', 'idem_key', 'idem_hash', 'created_at', 'updated_at'
] as const satisfies ReadonlyArray<keyof FilesTable>

const names = COLUMNS.join(', ')
const insertOne = `insert into files (${names}) values (${COLUMNS.map(() => '?').join(', ')}) on conflict do nothing`
const insertAll = `insert into files (${names}) select ${names} from json_populate_recordset(null::files, $1) on conflict do nothing returning id`

/**
 * Inserts rows, but for those whose idempotency key is taken. Both statements are fixed texts, since building
 * one for every number of rows costs more than the rows: SQLite, which no network is in between of, gets row after row, PostgreSQL all at once.
 * @returns the ids that were inserted
 */
export async function insertRows (transaction: Transaction<Database>, rows: readonly NewRow[]): Promise<Set<string>> {
  const inserted = new Set<string>()
  if (rows.length === 0) return inserted
  if (transaction.getExecutor().adapter instanceof PostgresAdapter) {
    const { rows: made } = await transaction.executeQuery<{ id: string }>(CompiledQuery.raw(insertAll, [JSON.stringify(rows)]))
    for (const { id } of made) inserted.add(id)
    return inserted
  }
  for (const row of rows) {
    const { numAffectedRows } = await transaction.executeQuery(CompiledQuery.raw(insertOne, COLUMNS.map(name => row[name])))
    if (numAffectedRows === 1n) inserted.add(row.id)
  }
  return inserted
}
