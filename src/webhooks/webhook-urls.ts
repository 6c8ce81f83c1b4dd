import { createHash } from 'node:crypto'
import type { Kysely, Transaction } from 'kysely'
import { query } from '../database/database.js'
import type { Database } from '../database/schema.js'
import type { WebhookEndpoint } from './webhook-endpoint.js'

/** What a 410 has made of an endpoint: with `moved`, other processes have a URL that still takes events. */
export type Standing = 'enabled' | 'moved' | 'disabled'

/** How often a process that delivers says that its URLs are in use. */
const SEE_EVERY_MS = 60_000
/** How long a URL counts as in use after that: more than a change of all processes takes, and than a scheduler rests. */
const IN_USE_MS = 3_600_000

/**
 * Which URLs of webhooks are in use, and which have answered 410. While the policies file changes, processes have
 * different URLs of one endpoint: an event that one cannot deliver any more is delivered by the others.
 */
export function createWebhookUrls (database: Kysely<Database>, endpoints: readonly WebhookEndpoint[]) {
  let seenAt = -Infinity

  /** How the URLs of this process stand. */
  async function findStandings (executor: Kysely<Database>, now: Date): Promise<Map<string, Standing>> {
    if (endpoints.length === 0) return new Map()
    const rows = await executor.selectFrom('webhook_urls').selectAll().where('endpoint', 'in', endpoints.map(({ name }) => name)).execute()
    return new Map(endpoints.map(({ name, url }) => {
      const isDisabled = rows.some(row => row.endpoint === name && row.url_hash === hash(url) && row.disabled_at !== null)
      const isElsewhere = rows.some(row => row.endpoint === name && row.url_hash !== hash(url) && row.disabled_at === null && row.seen_at > now.getTime() - IN_USE_MS)
      return [name, !isDisabled ? 'enabled' : isElsewhere ? 'moved' : 'disabled']
    }))
  }

  /** Says that a process with these URLs runs. */
  async function see (now: Date): Promise<void> {
    if (endpoints.length === 0) return
    // In one order everywhere, so that no two processes wait for each other.
    const sorted = [...endpoints].sort((left, right) => left.name < right.name ? -1 : 1)
    const rows = sorted.map(({ name, url }) => ({ endpoint: name, url_hash: hash(url), seen_at: now.getTime(), disabled_at: null }))
    await query(async () => await database.insertInto('webhook_urls').values(rows)
      .onConflict(conflict => conflict.columns(['endpoint', 'url_hash']).doUpdateSet({ seen_at: now.getTime() })).execute())
    seenAt = now.getTime()
  }

  return {
    findStandings,
    see,

    /** The same, when that was not said for a while. */
    async keepSeen (now: Date): Promise<void> {
      if (Math.abs(now.getTime() - seenAt) >= SEE_EVERY_MS) await see(now)
    },

    /** The names of endpoints that get nothing, since they asked for it and nobody knows another URL of theirs. */
    async findDisabled (executor: Kysely<Database>, now: Date): Promise<Set<string>> {
      return new Set([...await findStandings(executor, now)].filter(([, standing]) => standing === 'disabled').map(([name]) => name))
    },

    /** Remembers that a URL answered 410. */
    async disable (transaction: Transaction<Database>, { name, url }: WebhookEndpoint, now: Date): Promise<void> {
      const row = { seen_at: now.getTime(), disabled_at: now.getTime() }
      await transaction.insertInto('webhook_urls').values({ endpoint: name, url_hash: hash(url), ...row })
        .onConflict(conflict => conflict.columns(['endpoint', 'url_hash']).doUpdateSet(row)).execute()
    },

    /** Takes a disabled endpoint up again; false when it was not disabled. */
    async enable (endpoint: string): Promise<boolean> {
      return await query(async () => await database.transaction().execute(async transaction => {
        // For a version before, which may run beside this one or be gone back to.
        const { numDeletedRows } = await transaction.deleteFrom('disabled_webhooks').where('endpoint', '=', endpoint).executeTakeFirst()
        const { numUpdatedRows } = await transaction.updateTable('webhook_urls').set({ disabled_at: null }).where('endpoint', '=', endpoint).where('disabled_at', 'is not', null).executeTakeFirst()
        return numUpdatedRows + numDeletedRows > 0n
      }))
    }
  }
}

function hash (url: URL): string {
  return createHash('sha256').update(url.href).digest('hex')
}
