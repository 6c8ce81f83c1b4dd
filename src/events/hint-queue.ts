import { STAGING_PREFIX } from '../policies/object-key.js'
import { runInBackground, type Services } from '../services.js'
import { takeTurns } from '../take-turns.js'
import { verifyUnsettled } from '../uploads/verify-unsettled.js'
import type { CreatedObject } from './read-notifications.js'

/** How many hints are followed at a time. */
const CONCURRENCY = 5
/** What is beyond finds the sweeper. */
const MAX_WAITING = 10_000

/**
 * Follows hints that objects were created, a few at a time, after their reply. A hint is never believed: it only
 * makes the look at the bucket, which the sweeper would take a minute later, happen now.
 */
export function createHintQueue (services: Services) {
  const waiting = new Map<string, CreatedObject>()
  let running = 0

  async function work (): Promise<void> {
    const wait = takeTurns()
    for (;;) {
      await wait()
      const next = waiting.entries().next()
      if (next.done) return
      const [name, object] = next.value
      waiting.delete(name)
      try {
        await follow(services, object)
      } catch (error) {
        services.log.warn({ err: error }, 'an object that was told of could not be looked at yet')
      }
    }
  }

  return {
    /** @returns how many are followed; hints that wait already are not followed twice */
    add (objects: readonly CreatedObject[]): number {
      let added = 0
      for (const object of objects) {
        if (waiting.size >= MAX_WAITING) {
          services.log.warn({ waiting: waiting.size }, 'too many objects were told of at once; the sweeper will look at the rest')
          break
        }
        waiting.set(JSON.stringify([object.bucket, object.key]), object)
        added++
      }
      while (running < CONCURRENCY && waiting.size > 0) {
        running++
        runInBackground(services, work().finally(() => { running-- }))
      }
      return added
    }
  }
}

async function follow (services: Services, { bucket, key }: CreatedObject): Promise<void> {
  const stagingId = key.startsWith(STAGING_PREFIX) ? key.slice(STAGING_PREFIX.length) : null
  const row = stagingId === null ? await services.inventory.rowOfKey(bucket, key) : (await services.inventory.rowsById([stagingId])).get(stagingId)
  if (row?.status === 'pending' || row?.status === 'verifying') await verifyUnsettled(services, row.id)
}
