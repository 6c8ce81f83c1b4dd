import type { Services } from '../services.js'
import { deliverTo } from './deliver-webhooks.js'

/** How long to rest when nothing is due and nothing happens in this process. */
const IDLE_MS = 1000
const PRUNE_EVERY_MS = 3_600_000

/**
 * Delivers webhooks until it is told to stop: at once after a change in this process, and within a second after one
 * in another. Each endpoint goes its own pace.
 */
export function keepDelivering (services: Services): { stop (): Promise<void> } {
  const { endpoints, outbox } = services.webhooks
  const stopping = new AbortController()
  const { signal } = stopping

  async function run (name: string, work: () => Promise<unknown>, restMs: number): Promise<void> {
    while (!signal.aborted) {
      try {
        await work()
      } catch (error) {
        services.log.warn({ err: error, endpoint: name }, 'webhooks could not be delivered; it will be tried again')
      }
      await outbox.sleep(name, restMs, signal)
    }
  }

  const running = [...endpoints.values()].map(async endpoint => await run(endpoint.name, async () => await deliverTo(services, endpoint, signal), IDLE_MS))
  if (endpoints.size > 0) running.push(run('', async () => await outbox.prune([...endpoints.keys()], services.now()), PRUNE_EVERY_MS))
  return {
    /** What is being sent gets its answer, so that it is not sent again. */
    async stop () {
      stopping.abort()
      await Promise.all(running)
    }
  }
}
