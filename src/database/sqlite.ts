import { mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, resolve } from 'node:path'
import { SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler, type Dialect } from 'kysely'
import { createSqliteDriver, type SqliteFile } from './sqlite-driver.js'

/** The part of `node:sqlite` that is used here; `@photostructure/sqlite` has the same one for Node 20. */
interface DatabaseSync {
  exec (sql: string): void
  prepare (sql: string): {
    all (...parameters: unknown[]): unknown[]
    run (...parameters: unknown[]): { changes: number | bigint, lastInsertRowid: number | bigint }
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
  const open = (): SqliteFile => {
    if (isReadOnly) return prepareOnce(openSqlite(absolute, { readOnly: true }))
    if (absolute !== ':memory:') mkdirSync(dirname(absolute), { recursive: true })
    const database = openSqlite(absolute)
    database.exec('pragma journal_mode = wal')
    database.exec('pragma synchronous = full')
    database.exec('pragma busy_timeout = 5000')
    return prepareOnce(database)
  }
  return {
    createDriver: () => createSqliteDriver(open),
    createAdapter: () => new SqliteAdapter(),
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createIntrospector: database => new SqliteIntrospector(database)
  }
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
function rollback (statement: Statement): void {
  try {
    statement.run()
  } catch (error) {
    if (!(error instanceof Error && error.message.includes('no transaction is active'))) throw error
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

/** Kysely says the same few texts again and again. */
function prepareOnce (database: DatabaseSync): SqliteFile {
  const prepared = new Map<string, SqliteFile['run']>()

  function prepare (sql: string): SqliteFile['run'] {
    const statement = database.prepare(sql)
    if (/^\s*(select|with|pragma|explain)\b|\breturning\b/i.test(sql)) {
      const toRow = rowMaker(statement)
      return (_sql, parameters) => ({ rows: statement.all(...parameters).map(toRow) })
    }
    if (sql === 'rollback') {
      return () => {
        rollback(statement)
        return { rows: [] }
      }
    }
    return (_sql, parameters) => ({ rows: [], changes: statement.run(...parameters).changes })
  }

  return {
    run (sql, parameters) {
      let run = prepared.get(sql)
      if (!run) {
        run = prepare(sql)
        // They are few, but for lists of ids of every length: those may push others out.
        if (prepared.size >= MAX_PREPARED) prepared.clear()
        prepared.set(sql, run)
      }
      return run(sql, parameters)
    },
    close: () => database.close()
  }
}
