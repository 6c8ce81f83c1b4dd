import { CompiledQuery, PostgresAdapter, type Transaction } from 'kysely'
import type { Database } from '../database/schema.js'
import type { RepeatedQuery } from '../database/sqlite-driver.js'
import type { newRow } from './file-row.js'

type NewRow = ReturnType<typeof newRow>

/** By which columns have a value, a few dozen at most: a value that is bound takes its time, also when it is null. */
const inserts = new Map<number, CompiledQuery>()

interface PreparedRow {
  readonly insert: CompiledQuery
  readonly parameters: readonly unknown[]
}

/** Rows that have values in the same columns have the same statement. */
function prepareRow (row: NewRow): PreparedRow {
  const parameters: unknown[] = []
  let filled = 0
  for (const name in row) {
    const value = row[name as keyof NewRow]
    filled = filled * 2 + (value === null ? 0 : 1)
    if (value !== null) parameters.push(value)
  }
  let insert = inserts.get(filled)
  if (!insert) {
    const names = Object.entries(row).filter(([, value]) => value !== null).map(([name]) => name)
    inserts.set(filled, insert = CompiledQuery.raw(`insert into files (${names.join(', ')}) values (${names.map(() => '?').join(', ')}) on conflict do nothing`))
  }
  return { insert, parameters }
}

/** With all the metadata that requests may bring, a quarter of a megabyte. */
const MAX_ROWS = 25
/** Of SQLite, in one go: a millisecond at most. */
const MAX_REPEATED = 16

/** Of a hundred rows at most, a megabyte. */
export async function toJson (rows: readonly NewRow[], wait: () => Promise<void>): Promise<string> {
  const parts: string[] = []
  for (let begin = 0; begin < rows.length; begin += MAX_ROWS) {
    await wait()
    parts.push(JSON.stringify(rows.slice(begin, begin + MAX_ROWS)).slice(1, -1))
  }
  // The driver copies it and sends it in one go.
  await wait()
  return `[${parts.join(',')}]`
}

/**
 * Inserts rows, but for those whose idempotency key is taken. The texts are fixed, since building
 * one for every number of rows costs more than the rows: SQLite, which no network is in between of, gets row after row, sixteen to a call, PostgreSQL many at once.
 * @param wait lets others go first now and then; the transaction stays open
 * @returns the ids that were inserted
 */
export async function insertRows (transaction: Transaction<Database>, rows: readonly NewRow[], wait: () => Promise<void>): Promise<Set<string>> {
  const inserted = new Set<string>()
  if (rows.length === 0) return inserted
  if (transaction.getExecutor().adapter instanceof PostgresAdapter) {
    const names = Object.keys(rows[0] as NewRow).join(', ')
    const insertAll = `insert into files (${names}) select ${names} from json_populate_recordset(null::files, $1) on conflict do nothing returning id`
    const { rows: made } = await transaction.executeQuery<{ id: string }>(CompiledQuery.raw(insertAll, [await toJson(rows, wait)]))
    return new Set(made.map(({ id }) => id))
  }
  const prepared = rows.map(prepareRow)
  for (let begin = 0, end = 0; begin < rows.length; begin = end) {
    await wait()
    const { insert: { sql, query, queryId } } = prepared[begin] as PreparedRow
    while (end < rows.length && end < begin + MAX_REPEATED && prepared[end]?.insert.sql === sql) end++
    const repeated: RepeatedQuery = { sql, query, queryId, parameters: [], repeated: prepared.slice(begin, end).map(({ parameters }) => parameters) }
    const { rows: changes } = await transaction.executeQuery<{ changes: number }>(repeated)
    for (const [index, { changes: made }] of changes.entries()) if (made === 1) inserted.add((rows[begin + index] as NewRow).id)
  }
  return inserted
}
