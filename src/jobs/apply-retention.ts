import { purgeObject } from '../files/purge-object.js'
import type { Services } from '../services.js'

const BATCH = 100
/** How many objects are deleted at a time. */
const CONCURRENCY = 5
const DAY_MS = 24 * 3_600_000

/**
 * Deletes files that are older than their policy keeps them, the oldest first. What counts is the policies file of
 * now, for files from before it, too. Safe beside other processes: of each file there is one who deletes it.
 * @returns how many
 */
export async function applyRetention (services: Services, signal?: AbortSignal): Promise<number> {
  const { files, policies } = services
  let deleted = 0
  for (const { name, retentionDays } of policies.values()) {
    if (retentionDays === null) continue
    const readyBefore = new Date(services.now().getTime() - retentionDays * DAY_MS)
    for (;;) {
      const old = signal?.aborted ? [] : await files.findOlder(name, readyBefore, BATCH)
      for (let begin = 0; begin < old.length; begin += CONCURRENCY) {
        await Promise.all(old.slice(begin, begin + CONCURRENCY).map(async file => {
          const tombstone = await files.markDeleted(file.id, file, services.now(), { readyBefore })
          if (!tombstone) return
          deleted++
          await purgeObject(services, tombstone)
        }))
      }
      if (old.length < BATCH) break
    }
  }
  return deleted
}
