import type { Kysely } from 'kysely'
import { query } from '../database/database.js'
import type { Database } from '../database/schema.js'

/** What all owners hold, by the counters of quotas, and the time of the row that waits longest for the sweeper; null when none waits. */
export async function measureFiles (database: Kysely<Database>): Promise<{ readonly ready: number, readonly unfinished: number, readonly oldestCheckAt: number | null }> {
  return await query(async () => {
    const { files, pending } = await database.selectFrom('usage').select(({ fn }) => [fn.sum<number | string | null>('files').as('files'), fn.sum<number | string | null>('pending').as('pending')]).executeTakeFirstOrThrow()
    const oldest = await database.selectFrom('files').select(({ fn }) => fn.min('next_check_at').as('at')).where('next_check_at', 'is not', null).executeTakeFirst()
    // PostgreSQL sums bigints as numeric, which comes as text.
    return { ready: Number(files ?? 0) - Number(pending ?? 0), unfinished: Number(pending ?? 0), oldestCheckAt: oldest?.at ?? null }
  })
}
