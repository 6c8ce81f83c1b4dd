import { PostgresDialect, type Dialect } from 'kysely'
import type pg from 'pg'

const INT8 = 20

/** How long a request waits for a free connection before it is answered with 503. */
const CONNECTION_TIMEOUT_MS = 2000
const STATEMENT_TIMEOUT_MS = 5000

/**
 * @param onError hears of connections that break while idle; without a listener on the pool and on each
 *   client, Node ends the process when PostgreSQL restarts
 */
export function postgresDialect (url: string, onError: (error: Error) => void): Dialect {
  return new PostgresDialect({ pool: async () => await openPool(url, onError) })
}

async function openPool (url: string, onError: (error: Error) => void): Promise<pg.Pool> {
  // Loaded where there is a PostgreSQL only.
  const { default: pg } = await import('pg')
  const pool = new pg.Pool({
    connectionString: url,
    max: 10,
    connectionTimeoutMillis: CONNECTION_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: 2 * STATEMENT_TIMEOUT_MS,
    application_name: 'presignd',
    // Every bigint here is a time in milliseconds or a size in bytes: far below 2^53.
    types: { getTypeParser: (oid, format) => oid === INT8 ? Number : pg.types.getTypeParser(oid, format) }
  })
  pool.on('error', onError)
  pool.on('connect', client => { client.on('error', onError) })
  return pool
}
