import { PostgresAdapter, sql, type Kysely, type Transaction, type UpdateObject } from 'kysely'
import { query } from '../database/database.js'
import type { Database } from '../database/schema.js'
import type { FileEvents, FileEventType } from '../files/file-events.js'
import type { File } from '../files/file.js'
import { createDeliveryList } from './delivery-list.js'
import { renderFileEvent } from './file-event.js'
import { createWakeUp } from './wake-up.js'
import type { WebhookEndpoint } from './webhook-endpoint.js'
import { createWebhookUrls, type Standing } from './webhook-urls.js'

/** One event that the caller may send now; the lease says until when nobody else will. */
export interface Claimed {
  readonly id: string
  readonly fileId: string
  readonly sequence: number
  readonly payload: string
  /** How often it was tried, this time included. */
  readonly attempts: number
  readonly leaseToken: string
}

export interface Failure {
  /** Null when this was the last attempt. */
  readonly nextAttemptAt: Date | null
  readonly status: number | null
  readonly error: string
}

export type Outbox = ReturnType<typeof createOutbox>

/** The status by which a receiver asks for no more: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md */
export const GONE = 410
/** Longer than a POST may take, so that what is under way is not sent by another process too. */
const LEASE_MS = 60_000
/**
 * Events between the change that they tell of and their delivery. They are written in the transaction of the
 * change, one row for each endpoint that wants it, so that there is exactly one for each change or none.
 */
export function createOutbox (database: Kysely<Database>, endpoints: readonly WebhookEndpoint[], newId: () => string) {
  const isPostgres = database.getExecutor().adapter instanceof PostgresAdapter
  const wakeUp = createWakeUp()
  const urls = createWebhookUrls(database, endpoints)

  function wanting (type: FileEventType, file: File): WebhookEndpoint[] {
    return endpoints.filter(({ events, policies }) => events.has(type) && (policies === null || policies.has(file.policy)))
  }

  /** @returns how many events the endpoint will not get */
  async function giveUp (executor: Kysely<Database>, endpoint: string, now: Date): Promise<number> {
    const { numUpdatedRows } = await executor.updateTable('outbox')
      .set({ dead_at: now.getTime(), lease_token: null, lease_until: null, last_status: GONE, last_error: 'the endpoint asked for no more and is disabled' })
      .where('endpoint', '=', endpoint).where('delivered_at', 'is', null).where('dead_at', 'is', null).executeTakeFirst()
    return Number(numUpdatedRows)
  }

  async function record (transaction: Transaction<Database>, type: FileEventType, file: File, at: Date): Promise<void> {
    const wanted = wanting(type, file)
    if (wanted.length === 0) return
    const disabled = await urls.findDisabled(transaction, at)
    const rows = wanted.filter(({ name }) => !disabled.has(name)).map(endpoint => ({
      id: newId(),
      endpoint: endpoint.name,
      tenant: file.tenant,
      file_id: file.id,
      type,
      sequence: file.version,
      payload: renderFileEvent(type, file, at, endpoint),
      created_at: at.getTime(),
      attempts: 0,
      next_attempt_at: at.getTime(),
      lease_token: null,
      lease_until: null,
      delivered_at: null,
      dead_at: null,
      last_status: null,
      last_error: null
    }))
    if (rows.length > 0) await transaction.insertInto('outbox').values(rows).execute()
  }

  /** Ends an attempt, if its lease still holds. */
  async function finish ({ id, leaseToken }: Claimed, set: UpdateObject<Database, 'outbox'>): Promise<boolean> {
    return await query(async () => {
      const { numUpdatedRows } = await database.updateTable('outbox').set({ ...set, lease_token: null, lease_until: null })
        .where('id', '=', id).where('lease_token', '=', leaseToken).executeTakeFirst()
      return numUpdatedRows > 0n
    })
  }

  return {
    /**
     * When the event that waits longest to be delivered was created, in milliseconds since 1970; null when none waits.
     * What is left of an endpoint that is not configured any more waits for nobody.
     */
    async findOldest (): Promise<number | null> {
      if (endpoints.length === 0) return null
      return await query(async () => {
        const row = await database.selectFrom('outbox').select(({ fn }) => fn.min('created_at').as('at'))
          .where('endpoint', 'in', endpoints.map(({ name }) => name)).where('delivered_at', 'is', null).where('dead_at', 'is', null).executeTakeFirst()
        return row?.at ?? null
      })
    },

    ...createDeliveryList(database),
    record,
    /** Wakes those who deliver, in this process; others look by themselves. */
    committed (type: FileEventType, file: File): void {
      for (const { name } of wanting(type, file)) wakeUp.wake(name)
    },
    sleep: wakeUp.sleep,
    wake: wakeUp.wake,
    see: urls.see,
    enable: urls.enable,

    /**
     * Whether events of an endpoint may be claimed, and ends those that nobody can deliver any more.
     * @returns how many it ended
     */
    async check (endpoint: string, now: Date): Promise<{ readonly standing: Standing, readonly dead: number }> {
      await urls.keepSeen(now)
      return await query(async () => {
        const standing = (await urls.findStandings(database, now)).get(endpoint) ?? 'enabled'
        return { standing, dead: standing === 'disabled' ? await giveUp(database, endpoint, now) : 0 }
      })
    },

    /**
     * Takes events of one endpoint that are due, longest waiting first. An event waits for the earlier ones of its
     * file. Several processes at once get different ones.
     */
    async claim (endpoint: string, now: Date, limit: number, leaseToken: string): Promise<Claimed[]> {
      const time = now.getTime()
      return await query(async () => {
        const rows = await database
          // Materialized, so that the limit and the locks are those of one look.
          .with(cte => cte('due').materialized(), cte => cte.selectFrom('outbox as event').select('event.id')
            .where('event.endpoint', '=', endpoint).where('event.delivered_at', 'is', null).where('event.dead_at', 'is', null)
            .where('event.next_attempt_at', '<=', time)
            .where(where => where.or([where('event.lease_until', 'is', null), where('event.lease_until', '<', time)]))
            .where(({ not, exists, selectFrom }) => not(exists(selectFrom('outbox as earlier').select('earlier.id')
              .whereRef('earlier.endpoint', '=', 'event.endpoint').whereRef('earlier.file_id', '=', 'event.file_id').whereRef('earlier.sequence', '<', 'event.sequence')
              .where('earlier.delivered_at', 'is', null).where('earlier.dead_at', 'is', null))))
            .orderBy('event.next_attempt_at').orderBy('event.sequence').limit(limit)
            .$if(isPostgres, select => select.forUpdate('event').skipLocked()))
          .updateTable('outbox').set({ lease_token: leaseToken, lease_until: time + LEASE_MS, attempts: sql`attempts + 1` })
          .where('id', 'in', select => select.selectFrom('due').select('due.id'))
          .returning(['id', 'file_id', 'sequence', 'payload', 'attempts']).execute()
        return rows.map(row => ({ id: row.id, fileId: row.file_id, sequence: row.sequence, payload: row.payload, attempts: row.attempts, leaseToken }))
      })
    },

    /** False when the lease is lost: the event will be sent again. */
    async markDelivered (claimed: Claimed, status: number, now: Date): Promise<boolean> {
      return await finish(claimed, { delivered_at: now.getTime(), last_status: status, last_error: null })
    },

    async markFailed (claimed: Claimed, { nextAttemptAt, status, error }: Failure, now: Date): Promise<boolean> {
      const next = nextAttemptAt ? { next_attempt_at: nextAttemptAt.getTime() } : { dead_at: now.getTime() }
      return await finish(claimed, { ...next, last_status: status, last_error: error })
    },

    /**
     * Remembers that a URL answered 410. What the endpoint would still get ends, and nothing more is written for it, until
     * its URL is another one or it is enabled; while another URL of it is in use, everything waits for that one.
     * @returns how many events it will not get; null when they wait
     */
    async disable (endpoint: WebhookEndpoint, { id, leaseToken }: Claimed, now: Date): Promise<number | null> {
      return await query(async () => await database.transaction().execute(async transaction => {
        await urls.disable(transaction, endpoint, now)
        if ((await urls.findStandings(transaction, now)).get(endpoint.name) !== 'moved') return await giveUp(transaction, endpoint.name, now)
        // The other URL has not been asked: it gets the event at once, with the whole schedule before it.
        await transaction.updateTable('outbox')
          .set({ attempts: 0, next_attempt_at: now.getTime(), lease_token: null, lease_until: null, last_status: GONE, last_error: 'a former URL of the endpoint asked for no more' })
          .where('id', '=', id).where('lease_token', '=', leaseToken).execute()
        return null
      }))
    },

    /** The names of endpoints that get nothing, since they asked for it. */
    async disabledEndpoints (now: Date): Promise<Set<string>> {
      return await query(async () => await urls.findDisabled(database, now))
    }
  } satisfies FileEvents & Record<string, unknown>
}
