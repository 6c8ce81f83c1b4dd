import { parseCursor, renderCursor } from '../files/list-cursor.js'
import type { Services } from '../services.js'
import { checkAdmin, type User } from '../user.js'
import type { Delivery } from './delivery-list.js'
import type { ListDeliveriesQuery } from './schemas.js'

const DEFAULT_LIMIT = 50

/**
 * One page of what was and will be sent to webhooks about the files of the administrator's tenant, newest first.
 * @throws {ApiError} SCOPE_MISSING, INVALID_REQUEST for a cursor of another listing
 */
export async function listDeliveries ({ webhooks, cursorSecret }: Services, user: User, query: ListDeliveriesQuery): Promise<{ data: Delivery[], nextCursor?: string }> {
  checkAdmin(user)
  const { limit = DEFAULT_LIMIT, cursor, ...filters } = query
  const listing = JSON.stringify(['webhook-deliveries', user.tenant, filters.status, filters.endpoint, filters.fileId])
  const deliveries = await webhooks.outbox.list({
    tenant: user.tenant,
    ...filters,
    // One more than asked for tells whether there is a next page.
    limit: limit + 1,
    ...(cursor !== undefined && { after: parseCursor(cursorSecret, listing, cursor) })
  })
  const data = deliveries.slice(0, limit)
  const last = data.at(-1)
  return deliveries.length > limit && last ? { data, nextCursor: renderCursor(cursorSecret, listing, last) } : { data }
}
