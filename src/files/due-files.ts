import { PostgresAdapter, sql, type Kysely } from 'kysely'
import { query } from '../database/database.js'
import type { Database } from '../database/schema.js'
import type { File } from './file.js'
import { toFile } from './file-row.js'

/** A PUT that S3 accepted in the last second of its URL may take this long to finish. */
const SLOW_REQUEST_MS = 24 * 3_600_000

/** What the sweeper asks of the rows and says to them: what is due, and when it is due again. */
export function createDueFiles (database: Kysely<Database>) {
  const isPostgres = database.getExecutor().adapter instanceof PostgresAdapter

  const isFinalAt = (now: Date) => sql<boolean>`url_deadline + ${SLOW_REQUEST_MS} < ${now.getTime()}`
  /** When to delete once more: at the end of the URLs, a day later, and then never. */
  const againAfterUrls = (now: Date) => sql<number | null>`case when ${isFinalAt(now)} then null when url_deadline < ${now.getTime()} then url_deadline + ${SLOW_REQUEST_MS + 1} else url_deadline + 1 end`

  return {
    /**
     * Says that the object of a tombstone was deleted just now. It is gone for good once no request that a write
     * URL began can still bring it back; until then it is due again, when the URLs end and a day later.
     */
    async markPurged (id: string, now: Date): Promise<void> {
      await query(async () => await database.updateTable('files').set({
        purged_at: sql`case when ${isFinalAt(now)} then ${now.getTime()} else purged_at end`,
        next_check_at: againAfterUrls(now)
      }).where('id', '=', id).where('status', 'in', ['rejected', 'expired', 'deleted']).execute())
    },

    /** The same for the staging object of a ready file. */
    async markStagingPurged (id: string, now: Date): Promise<void> {
      await query(async () => await database.updateTable('files').set({
        staging_key: sql`case when ${isFinalAt(now)} then null else staging_key end`,
        next_check_at: againAfterUrls(now)
      }).where('id', '=', id).where('status', '=', 'ready').where('staging_key', 'is not', null).execute())
    },

    /**
     * Says that a ready file has no open multipart uploads beside it just now. One that a slow request begins later
     * is found when its URLs end, or a day later.
     */
    async markPartsPurged (id: string, now: Date): Promise<void> {
      await query(async () => await database.updateTable('files').set({ next_check_at: againAfterUrls(now) })
        .where('id', '=', id).where('status', '=', 'ready').where('staging_key', 'is', null).execute())
    },

    /**
     * Takes rows that are due, longest waiting first, and makes them due again at `again`: nobody else gets them
     * until then. Several processes at once get different rows.
     */
    async claimDue (now: Date, limit: number, again: Date): Promise<File[]> {
      return await query(async () => {
        const rows = await database.updateTable('files').set({ next_check_at: again.getTime() })
          .where('id', 'in', select => select.selectFrom('files').select('id').where('next_check_at', '<=', now.getTime())
            .orderBy('next_check_at').limit(limit).$if(isPostgres, builder => builder.forUpdate().skipLocked()))
          .where('next_check_at', '<=', now.getTime())
          .returningAll().execute()
        return rows.map(toFile)
      })
    },

    /** Ready files of a policy whose content is older, oldest first. */
    async findOlder (policy: string, readyBefore: Date, limit: number): Promise<File[]> {
      return await query(async () => (await database.selectFrom('files').selectAll()
        .where('policy', '=', policy).where('status', '=', sql.lit('ready')).where('ready_at', '<', readyBefore.getTime())
        .orderBy('ready_at').limit(limit).execute()).map(toFile))
    },

    /** When the sweeper looks at an upload next, unless it has become something else, which has a time of its own. */
    async postponeCheck (id: string, status: 'pending' | 'scanning', at: Date): Promise<void> {
      await query(async () => await database.updateTable('files').set({ next_check_at: at.getTime() }).where('id', '=', id).where('status', '=', status).execute())
    }
  }
}
