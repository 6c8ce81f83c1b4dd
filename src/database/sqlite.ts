import { mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, resolve } from 'node:path'
import { SqliteDialect, type SqliteDatabase, type Dialect } from 'kysely'

/** The part of `node:sqlite` that is used here; `@photostructure/sqlite` has the same one for Node 20. */
interface DatabaseSync {
  exec (sql: string): void
  prepare (sql: string): {
    all (...parameters: unknown[]): unknown[]
    run (...parameters: unknown[]): { changes: number | bigint, lastInsertRowid: number | bigint }
    iterate (...parameters: unknown[]): IterableIterator<unknown>
    columns? (): ReadonlyArray<{ readonly name: string }>
    setReturnArrays? (isWanted: boolean): void
  }
  close (): void
}

type Statement = ReturnType<DatabaseSync['prepare']>

/**
 * One file, one process. WAL with `synchronous=FULL`: a row that was answered survives a power cut.
 * @see https://www.sqlite.org/pragma.html#pragma_synchronous
 */
export function sqliteDialect (path: string, { isReadOnly = false } = {}): Dialect {
  const absolute = path === ':memory:' ? path : resolve(path)
  return new SqliteDialect({
    database: async () => {
      if (isReadOnly) return adapt(openSqlite(absolute, { readOnly: true }))
      if (absolute !== ':memory:') mkdirSync(dirname(absolute), { recursive: true })
      const database = openSqlite(absolute)
      database.exec('pragma journal_mode = wal')
      database.exec('pragma synchronous = full')
      database.exec('pragma busy_timeout = 5000')
      return adapt(database)
    }
  })
}

/**
 * Makes this process the one that serves a SQLite database, until the lock is given back or the process ends,
 * however it ends. Rate limits and commits assume that there is one.
 * @returns what gives the lock back; null when another process has it
 */
export function lockSqlite (path: string): (() => void) | null {
  const lockPath = `${resolve(path)}.lock`
  mkdirSync(dirname(lockPath), { recursive: true })
  const lock = openSqlite(lockPath)
  try {
    // A transaction that is never committed: the lock on the file is the operating system's.
    lock.exec('begin exclusive')
    return () => lock.close()
  } catch (error) {
    lock.close()
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return null
    throw error
  }
}

/** https://www.sqlite.org/rescode.html#busy */
const SQLITE_BUSY = 5

interface Sqlite {
  readonly DatabaseSync: new (path: string, options?: { readonly readOnly?: boolean }) => DatabaseSync
}

function openSqlite (path: string, options: { readonly readOnly?: boolean } = {}): DatabaseSync {
  const require = createRequire(import.meta.url)
  const builtin = process.getBuiltinModule?.('node:sqlite') as Sqlite | undefined
  const { DatabaseSync } = builtin ?? require('@photostructure/sqlite') as Sqlite
  return new DatabaseSync(path, options)
}

/**
 * A full disk and the like end a transaction by themselves, and then there is nothing to roll back: the error that
 * it ended by is the one to hear of.
 * @see https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction
 */
function rollback (statement: Statement, parameters: readonly unknown[]): ReturnType<typeof statement.run> {
  try {
    return statement.run(...parameters)
  } catch (error) {
    if (error instanceof Error && error.message.includes('no transaction is active')) return { changes: 0, lastInsertRowid: 0 }
    throw error
  }
}

/**
 * Makes rows of one shape. Those that the drivers make have a shape each: making and reading them takes several times
 * as long. Early versions of Node 22 have no others.
 */
function rowMaker (statement: Statement): (row: unknown) => unknown {
  if (!statement.setReturnArrays || !statement.columns) return row => row
  statement.setReturnArrays(true)
  let names: readonly string[] = []
  return row => {
    const values = row as readonly unknown[]
    // Another process may have added a column to what `select *` stands for.
    if (values.length !== names.length) names = statement.columns?.().map(({ name }) => name) ?? []
    const made: Record<string, unknown> = {}
    for (let index = 0; index < names.length; index++) made[names[index] as string] = values[index]
    return made
  }
}

const MAX_PREPARED = 200

/** Kysely speaks the interface of better-sqlite3, which tells statements that return rows from others, and prepares each query anew: here a text is prepared once. */
function adapt (database: DatabaseSync): SqliteDatabase {
  const prepared = new Map<string, ReturnType<SqliteDatabase['prepare']>>()
  return {
    close: () => database.close(),
    prepare (sql) {
      const known = prepared.get(sql)
      if (known) return known
      const statement = database.prepare(sql)
      const toRow = rowMaker(statement)
      const entry = {
        reader: /^\s*(select|with|pragma|explain)\b|\breturning\b/i.test(sql),
        all: parameters => statement.all(...parameters).map(toRow),
        run: parameters => sql === 'rollback' ? rollback(statement, parameters) : statement.run(...parameters),
        * iterate (parameters) { for (const row of statement.iterate(...parameters)) yield toRow(row) }
      } satisfies ReturnType<SqliteDatabase['prepare']>
      // Texts of queries are few, but for lists of ids of every length: those may push others out.
      if (prepared.size >= MAX_PREPARED) prepared.clear()
      prepared.set(sql, entry)
      return entry
    }
  }
}
