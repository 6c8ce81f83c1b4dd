import { ApiError } from '../errors.js'
import type { Services } from '../services.js'
import type { Delivery } from './delivery-list.js'

/**
 * Sends an event again, under the same id and from the beginning of the schedule.
 * @param tenant whose event it must be; any, when left out
 * @throws {ApiError} DELIVERY_NOT_FOUND, WEBHOOK_DISABLED
 */
export async function replayDelivery ({ webhooks, now }: Services, id: string, tenant?: string): Promise<Delivery> {
  const { outbox, endpoints } = webhooks
  const found = await outbox.find(id, tenant)
  if (!found) throw deliveryNotFound()
  if (!endpoints.has(found.endpoint)) throw new ApiError('WEBHOOK_DISABLED', `The webhook "${found.endpoint}" is not in the policies file any more.`)
  if ((await outbox.disabledEndpoints(now())).has(found.endpoint)) {
    throw new ApiError('WEBHOOK_DISABLED', `The webhook "${found.endpoint}" answered 410 and is disabled. Its operator can enable it: presignd webhooks enable ${found.endpoint}`)
  }
  const replayed = await outbox.replay(id, now())
  if (!replayed) throw deliveryNotFound()
  outbox.wake(replayed.endpoint)
  return replayed
}

function deliveryNotFound (): ApiError {
  return new ApiError('DELIVERY_NOT_FOUND', 'There is no such delivery, or it is too old and forgotten.')
}
