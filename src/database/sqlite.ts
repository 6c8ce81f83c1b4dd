import { mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, resolve } from 'node:path'
import { SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler, type Dialect } from 'kysely'
import { createSqliteDriver, type PreparedStatement, type SqliteFile } from './sqlite-driver.js'
import { openWriteAheadLog, type Checkpointed, type WriteAheadLog } from './write-ahead-log.js'

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

/** One file, one process. A row that was answered survives a power cut. */
export function sqliteDialect (path: string, { isReadOnly = false } = {}): Dialect {
  const absolute = path === ':memory:' ? path : resolve(path)
  const open = (): SqliteFile => {
    if (isReadOnly) return prepareOnce(openSqlite(absolute, { readOnly: true }))
    if (absolute !== ':memory:') mkdirSync(dirname(absolute), { recursive: true })
    const database = openSqlite(absolute)
    database.exec('pragma busy_timeout = 5000')
    const [journal] = database.prepare('pragma journal_mode = wal').all() as Array<{ journal_mode: string }>
    if (journal?.journal_mode !== 'wal') return prepareOnce(database)
    // Whoever commits flushes the log, which is all that `full` does more, and sees to checkpoints long before SQLite does.
    // https://www.sqlite.org/pragma.html#pragma_synchronous
    database.exec('pragma synchronous = normal')
    database.exec('pragma wal_autocheckpoint = 10000')
    const checkpoint = database.prepare('pragma wal_checkpoint(passive)')
    return prepareOnce(database, openWriteAheadLog(absolute, () => checkpoint.all()[0] as Checkpointed))
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

/** All else is taken for a write, which costs a write to the disk at worst. */
const READ = /^\s*(?:(?:select|pragma|explain|begin|commit|rollback)\b|with\b(?!.*\b(?:insert|update|delete)\b))/is
const RETURNS_ROWS = /^\s*(?:select|with|pragma|explain)\b|\breturning\b/i

function prepareStatement (database: DatabaseSync, sql: string): PreparedStatement {
  const statement = database.prepare(sql)
  const isWrite = !READ.test(sql)
  if (RETURNS_ROWS.test(sql)) {
    const toRow = rowMaker(statement)
    return { isWrite, run: parameters => ({ rows: statement.all(...parameters).map(toRow) }) }
  }
  if (sql === 'rollback') {
    return {
      isWrite,
      run () {
        rollback(statement)
        return { rows: [] }
      }
    }
  }
  return { isWrite, run: parameters => ({ rows: [], changes: statement.run(...parameters).changes }) }
}

/** Kysely says the same few texts again and again. */
function prepareOnce (database: DatabaseSync, log: WriteAheadLog | null = null): SqliteFile {
  const prepared = new Map<string, PreparedStatement>()
  return {
    prepare (sql) {
      let statement = prepared.get(sql)
      if (!statement) {
        statement = prepareStatement(database, sql)
        // They are few, but for lists of ids of every length: those may push others out.
        if (prepared.size >= MAX_PREPARED) prepared.clear()
        prepared.set(sql, statement)
      }
      return statement
    },
    log,
    close: () => database.close()
  }
}
