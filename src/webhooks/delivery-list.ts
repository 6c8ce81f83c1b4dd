import type { Kysely, Selectable } from 'kysely'
import { query } from '../database/database.js'
import type { Database, OutboxTable } from '../database/schema.js'

export const DELIVERY_STATUSES = ['pending', 'delivered', 'dead'] as const
export type DeliveryStatus = typeof DELIVERY_STATUSES[number]

/** What became of one event at one endpoint. */
export interface Delivery {
  /** The `webhook-id`. */
  readonly id: string
  readonly endpoint: string
  readonly tenant: string
  readonly fileId: string
  readonly type: string
  readonly sequence: number
  readonly status: DeliveryStatus
  readonly attempts: number
  readonly createdAt: Date
  readonly nextAttemptAt: Date
  readonly deliveredAt: Date | null
  readonly deadAt: Date | null
  readonly lastStatus: number | null
  readonly lastError: string | null
}

export interface DeliveryQuery {
  readonly tenant: string
  readonly status?: DeliveryStatus
  readonly endpoint?: string
  readonly fileId?: string
  readonly after?: { readonly createdAt: Date, readonly id: string }
  readonly limit: number
}

const DAY_MS = 24 * 3_600_000
const KEEP_DELIVERED_MS = 7 * DAY_MS
/** Long enough to notice, and to replay after a repair. */
const KEEP_DEAD_MS = 30 * DAY_MS
/** A statement must not take long. */
const PRUNE_BATCH = 1000

/** The outbox as operators see it. */
export function createDeliveryList (database: Kysely<Database>) {
  return {
    /** Newest first, by keyset. */
    async list ({ tenant, status, endpoint, fileId, after, limit }: DeliveryQuery): Promise<Delivery[]> {
      return await query(async () => {
        let select = database.selectFrom('outbox').selectAll().where('tenant', '=', tenant)
        if (status === 'pending') select = select.where('delivered_at', 'is', null).where('dead_at', 'is', null)
        if (status === 'delivered') select = select.where('delivered_at', 'is not', null)
        if (status === 'dead') select = select.where('dead_at', 'is not', null)
        if (endpoint !== undefined) select = select.where('endpoint', '=', endpoint)
        if (fileId !== undefined) select = select.where('file_id', '=', fileId)
        if (after) select = select.where(where => where(where.refTuple('created_at', 'id'), '<', where.tuple(after.createdAt.getTime(), after.id)))
        return (await select.orderBy('created_at', 'desc').orderBy('id', 'desc').limit(limit).execute()).map(toDelivery)
      })
    },

    /** @param tenant any, when left out */
    async find (id: string, tenant?: string): Promise<Delivery | null> {
      return await query(async () => {
        let select = database.selectFrom('outbox').selectAll().where('id', '=', id)
        if (tenant !== undefined) select = select.where('tenant', '=', tenant)
        const row = await select.executeTakeFirst()
        return row ? toDelivery(row) : null
      })
    },

    /** Makes an event due at once, with its whole schedule before it, and under the same id. */
    async replay (id: string, now: Date): Promise<Delivery | null> {
      return await query(async () => {
        const row = await database.updateTable('outbox').set({ attempts: 0, next_attempt_at: now.getTime(), delivered_at: null, dead_at: null })
          .where('id', '=', id).returningAll().executeTakeFirst()
        return row ? toDelivery(row) : null
      })
    },

    /**
     * Deletes what nobody asks for any more: what was delivered a week ago, what is dead for a month, and what waits
     * for a month for an endpoint that is not configured.
     * @returns how many rows
     */
    async prune (endpoints: readonly string[], now: Date): Promise<number> {
      const before = (age: number) => now.getTime() - age
      const old = database.selectFrom('outbox').select('id').limit(PRUNE_BATCH)
      const open = old.where('delivered_at', 'is', null).where('dead_at', 'is', null).where('created_at', '<', before(KEEP_DEAD_MS))
      const kinds = [
        old.where('delivered_at', '<', before(KEEP_DELIVERED_MS)),
        old.where('dead_at', '<', before(KEEP_DEAD_MS)),
        endpoints.length > 0 ? open.where('endpoint', 'not in', endpoints) : open
      ]
      let pruned = 0
      for (const kind of kinds) {
        let deleted
        do {
          deleted = await query(async () => Number((await database.deleteFrom('outbox').where('id', 'in', kind).executeTakeFirst()).numDeletedRows))
          pruned += deleted
        } while (deleted === PRUNE_BATCH)
      }
      return pruned
    }
  }
}

function toDelivery (row: Selectable<OutboxTable>): Delivery {
  const date = (time: number | null): Date | null => time === null ? null : new Date(time)
  return {
    id: row.id,
    endpoint: row.endpoint,
    tenant: row.tenant,
    fileId: row.file_id,
    type: row.type,
    sequence: row.sequence,
    status: row.delivered_at !== null ? 'delivered' : row.dead_at !== null ? 'dead' : 'pending',
    attempts: row.attempts,
    createdAt: new Date(row.created_at),
    nextAttemptAt: new Date(row.next_attempt_at),
    deliveredAt: date(row.delivered_at),
    deadAt: date(row.dead_at),
    lastStatus: row.last_status,
    lastError: row.last_error
  }
}
