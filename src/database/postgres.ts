import type { Socket } from 'node:net'
import { PostgresDialect, type Dialect } from 'kysely'
import type pg from 'pg'
import type { OpenDatabaseOptions } from './database.js'
import { usePreparedStatements } from './prepared-statements.js'

const INT8 = 20

/** How long a request waits for a free connection before it is answered with 503. */
const CONNECTION_TIMEOUT_MS = 2000
const STATEMENT_TIMEOUT_MS = 5000
/**
 * A server that is there answers before, were it by cancelling the statement. One that vanished never does, and the
 * operating system would wait a quarter of an hour.
 */
const SILENCE_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 2000

export type PostgresOptions = Required<Pick<OpenDatabaseOptions, 'onError' | 'isMigrating'>>

export function postgresDialect (url: string, options: PostgresOptions): Dialect {
  return new PostgresDialect({ pool: async () => await openPool(url, options) })
}

async function openPool (url: string, { onError, isMigrating }: PostgresOptions): Promise<pg.Pool> {
  // Loaded where there is a PostgreSQL only.
  const { default: pg } = await import('pg')
  const pool = new pg.Pool({
    connectionString: url,
    max: 10,
    connectionTimeoutMillis: CONNECTION_TIMEOUT_MS,
    ...(!isMigrating && { statement_timeout: STATEMENT_TIMEOUT_MS, idle_in_transaction_session_timeout: 2 * STATEMENT_TIMEOUT_MS }),
    application_name: 'presignd',
    // Every bigint here is a time in milliseconds or a size in bytes: far below 2^53.
    types: { getTypeParser: (oid, format) => oid === INT8 ? Number : pg.types.getTypeParser(oid, format) }
  })
  // Without a listener on the pool and on each client, Node ends the process when PostgreSQL restarts.
  const onBroken = (error: Error & { client?: unknown }): void => {
    // The pool hangs the whole connection on it, with what cancels its statements: nothing for a log.
    delete error.client
    onError(error, 'a database connection broke')
  }
  pool.on('error', onBroken)
  pool.on('connect', client => { client.on('error', onBroken) })
  usePreparedStatements(pool, error => onError(error, 'a pooler mislays prepared statements: PostgreSQL is sent each anew from now on, which takes it longer'))
  if (!isMigrating) endSilence(pool)
  return pool
}

/** Gives up connections whose server says nothing to a request. */
function endSilence (pool: pg.Pool): void {
  // The types keep it to themselves.
  const socketOf = (client: pg.PoolClient): Socket => (client as unknown as { readonly connection: { readonly stream: Socket } }).connection.stream
  pool.on('connect', client => {
    const socket = socketOf(client)
    socket.on('timeout', () => socket.destroy(Object.assign(new Error('PostgreSQL does not answer'), { code: 'ETIMEDOUT' })))
  })
  pool.on('acquire', client => { socketOf(client).setTimeout(SILENCE_TIMEOUT_MS) })
  pool.on('release', (_error, client) => { socketOf(client).setTimeout(0) })
}
