import { ApiError } from '../errors.js'
import type { PendingFile } from '../files/file.js'
import { purgeObject } from '../files/purge-object.js'
import type { Services } from '../services.js'
import { LEASE_MS, settleUpload } from './settle-upload.js'

/** When to look for the object of a pending upload again, by how often it was looked at. */
const CHECK_AGAIN_MS = [60_000, 300_000, 900_000]
const MIN_WAIT_MS = 60_000
const MAX_WAIT_MS = 900_000

/**
 * Whether parts of this upload are still awaited. That is found without its lease, which would keep the client from getting the
 * URLs of more of them; the next look comes when it has lasted as long again.
 */
export async function isUnderWay ({ objectStorage, files, now }: Services, file: PendingFile): Promise<boolean> {
  const at = now().getTime()
  if (file.method !== 'multipart' || file.multipartUploadId === null || file.urlDeadline.getTime() < at) return false
  const stored = await objectStorage.listParts(file, file.multipartUploadId)
  if (!stored) return false
  const sizeBytes = stored.reduce((sum, part) => sum + part.sizeBytes, 0)
  // Without a size, only the client can say when all are there.
  if (sizeBytes > file.reservedBytes || (file.sizeBytes !== null && sizeBytes >= file.sizeBytes)) return false
  const waitMs = Math.min(Math.max(at - file.createdAt.getTime(), MIN_WAIT_MS), MAX_WAIT_MS)
  await files.postponeCheck(file.id, 'pending', new Date(Math.min(at + waitMs, file.urlDeadline.getTime() + 1000)))
  return true
}

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
