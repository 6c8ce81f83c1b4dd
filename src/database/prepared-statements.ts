import { createHash } from 'node:crypto'
import type pg from 'pg'

/** What statements are called by, by their texts: as many as this program has. */
const names = new Map<string, string>()

/**
 * Has PostgreSQL keep a statement on each connection that has sent it: parsing and planning one takes longer than carrying it out. It
 * must not be part of a transaction, since it may have to be sent twice, nor return columns by `*`, which a migration may add to.
 * @returns the text
 * @see https://www.postgresql.org/docs/current/sql-prepare.html
 */
export function keepPrepared (sql: string): string {
  // Where clients share a connection without knowing, one name never stands for two texts.
  names.set(sql, `presignd_${createHash('sha256').update(sql).digest('hex').slice(0, 32)}`)
  return sql
}

/** A pooler between here and the server has changed the connection: the statement is not there, or was sent by someone else. */
const MISLAID = new Set<unknown>(['26000', '42P05'])

/** Sends them by name; and like all others, from then on, behind a pooler that mislays them, of which `onMislaid` hears. */
export function usePreparedStatements (pool: pg.Pool, onMislaid: (error: Error) => void): void {
  let areKept = true
  pool.on('connect', client => {
    const send = client.query.bind(client) as (query: unknown, values: unknown) => Promise<unknown>
    async function query (text: unknown, values: unknown): Promise<unknown> {
      const name = areKept ? names.get(text as string) : undefined
      if (name === undefined) return await send(text, values)
      try {
        return await send({ name, text }, values)
      } catch (error) {
        if (!MISLAID.has((error as { code?: unknown }).code)) throw error
        if (areKept) onMislaid(error as Error)
        areKept = false
        return await send(text, values)
      }
    }
    Object.assign(client, { query })
  })
}
