import { ApiError } from '../errors.js'
import { purgeObject } from '../files/purge-object.js'
import type { Services } from '../services.js'
import { LEASE_MS, settleUpload } from './settle-upload.js'

/** When to look for the object of a pending upload again, by how often it was looked at. */
const CHECK_AGAIN_MS = [60_000, 300_000, 900_000]

/**
 * Looks what became of an upload without its client: what has arrived is decided about, and what has not come when
 * its last URL has ended is given up.
 * @returns what it became; null when someone else looks at it, or nothing is decided
 */
export async function verifyUnsettled (services: Services, id: string): Promise<'ready' | 'expired' | null> {
  const now = services.now()
  const held = await services.files.markVerifying(id, { token: services.newId(), until: new Date(now.getTime() + LEASE_MS) }, now)
  if (!held) return null
  try {
    return (await settleUpload(services, held))?.status === 'ready' ? 'ready' : null
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 'OBJECT_MISSING') throw error
    if (held.urlDeadline < now) {
      // Only a 404 after the last URL has ended gives an upload up; a client may have got another one since the look.
      const expired = await services.files.markExpired(id, held, services.now(), { from: ['pending'], urlsEndedBefore: now })
      if (expired) await purgeObject(services, expired)
      return expired && 'expired'
    }
    const again = now.getTime() + (CHECK_AGAIN_MS[held.attempts - 1] ?? CHECK_AGAIN_MS.at(-1) ?? 0)
    await services.files.postponeCheck(id, 'pending', new Date(Math.min(again, held.urlDeadline.getTime() + 1000)))
    return null
  }
}
