import { purgeObject } from '../files/purge-object.js'
import type { Services } from '../services.js'

const BATCH = 100
/** How many objects are deleted at a time. */
const CONCURRENCY = 5
const DAY_MS = 24 * 3_600_000

/**
 * Deletes files that are older than their policy keeps them, the oldest first, and of each policy some at a time:
 * uploads that are due do not wait for a million of them. What counts is the policies file of now, for files from
 * before it, too. Safe beside other processes: of each file there is one who deletes it.
 * @returns how many, and whether there may be more
 */
export async function applyRetention (services: Services, signal?: AbortSignal): Promise<{ readonly deleted: number, readonly isMore: boolean }> {
  const { files, policies } = services
  let deleted = 0
  let isMore = false
  for (const { name, retentionDays } of policies.values()) {
    if (retentionDays === null || signal?.aborted) continue
    const readyBefore = new Date(services.now().getTime() - retentionDays * DAY_MS)
    const old = await files.findOlder(name, readyBefore, BATCH)
    for (let begin = 0; begin < old.length && !signal?.aborted; begin += CONCURRENCY) {
      await Promise.all(old.slice(begin, begin + CONCURRENCY).map(async file => {
        const tombstone = await files.markDeleted(file.id, file, services.now(), { readyBefore })
        if (!tombstone) return
        deleted++
        await purgeObject(services, tombstone)
      }))
    }
    if (old.length === BATCH) isMore = true
  }
  return { deleted, isMore }
}
