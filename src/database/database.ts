import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { Kysely } from 'kysely'
import { ApiError } from '../errors.js'
import { postgresDialect } from './postgres.js'
import type { Database } from './schema.js'
import { sqliteDialect } from './sqlite.js'

export interface OpenDatabaseOptions {
  /** Hears of what no query fails for, and what it means: connections that break while nobody uses them, and a pooler that mislays statements. */
  readonly onError: (error: Error, meaning: string) => void
  /** A SQLite file is neither made nor changed; on PostgreSQL it is the caller who only reads. */
  readonly isReadOnly?: boolean
  /** On PostgreSQL, statements may take as long as they take. */
  readonly isMigrating?: boolean
  /** Hears of every query that has ended, in the asynchronous context of who asked; `error` is undefined when it went well. */
  readonly onQuery?: ((sql: string, milliseconds: number, error: unknown) => void) | undefined
}

/** Opens lazily: the first query connects. `url` is `sqlite:PATH` or `postgres://…`. */
export function openDatabase (url: string, { onError, isReadOnly = false, isMigrating = false, onQuery }: OpenDatabaseOptions): Kysely<Database> {
  const dialect = url.startsWith('sqlite:') ? sqliteDialect(url.slice('sqlite:'.length), { isReadOnly }) : postgresDialect(url, { onError, isMigrating })
  return new Kysely<Database>({
    dialect,
    ...(onQuery && { log: event => onQuery(event.query.sql, event.queryDurationMillis, event.level === 'error' ? event.error : undefined) })
  })
}

/** A random secret that all processes on one database share: made by whoever asks first, then kept. */
export async function sharedSecret (database: Kysely<Database>, name: string): Promise<Buffer> {
  await database.insertInto('secrets').values({ name, value: randomBytes(32).toString('base64') })
    .onConflict(conflict => conflict.doNothing()).execute()
  const row = await database.selectFrom('secrets').select('value').where('name', '=', name).executeTakeFirstOrThrow()
  return Buffer.from(row.value, 'base64')
}

/**
 * Runs queries; an outage of the database becomes a 503 that asks to come back, with the cause for the log.
 * Any other error is a fault of ours and stays what it is.
 * @throws {ApiError} NOT_READY
 */
export async function query<T> (run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    throw isOutage(error) ? databaseOutage(error) : error
  }
}

/** What a client hears while the database cannot be asked. */
export function databaseOutage (cause?: unknown): ApiError {
  return new ApiError('NOT_READY', 'The database does not answer. Try again in a moment.', { cause, retryAfterSeconds: 2 })
}

/** Deadlock and serialisation failure: https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html */
const CONFLICT = new Set<unknown>(['40P01', '40001'])
const MAX_ATTEMPTS = 3

/** Runs a transaction, and again, up to three times, when PostgreSQL took it back in favour of another one. */
export async function retryConflicts<T> (run: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run()
    } catch (error) {
      if (attempt === MAX_ATTEMPTS || !CONFLICT.has((error as { code?: unknown }).code)) throw error
      await delay(attempt * 20 * (0.5 + Math.random()))
    }
  }
}

/**
 * SQLSTATE classes: 08 connection, 25006 read-only, 40 rolled back, 53 resources, 57 operator, 58 system.
 * @see https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const POSTGRES_OUTAGE = /^(08...|25006|40...|53...|57...|58...)$/
/** SQLITE_BUSY, _READONLY, _IOERR, _FULL, _CANTOPEN: https://www.sqlite.org/rescode.html */
const SQLITE_OUTAGE = new Set([5, 8, 10, 13, 14])
/** The same in words: the package for Node 20 leaves the number out where a statement returns rows. */
const SQLITE_OUTAGE_WORDS = /^(database is locked|attempt to write a readonly database|disk I\/O error|database or disk is full|unable to open database file)/
const NETWORK_OUTAGE = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'EHOSTDOWN', 'ENETUNREACH', 'ENETDOWN', 'ENOTFOUND', 'EAI_AGAIN', 'ENOENT'])

function isOutage (error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code, errcode } = error as { code?: unknown, errcode?: unknown }
  if (typeof errcode === 'number') return SQLITE_OUTAGE.has(errcode & 0xff)
  if (code === 'ERR_SQLITE_ERROR') return SQLITE_OUTAGE_WORDS.test(error.message)
  if (typeof code === 'string') return POSTGRES_OUTAGE.test(code) || NETWORK_OUTAGE.has(code)
  // The pool and the client of pg say these without a code.
  return /timeout exceeded when trying to connect|Connection terminated|Client has encountered a connection error|not queryable/i.test(error.message)
}
