import { setTimeout as delay } from 'node:timers/promises'
import { ApiError } from '../errors.js'
import type { LivingFile, ReadyFile, ScanningFile, VerifyingFile } from '../files/file.js'
import type { Services } from '../services.js'
import type { User } from '../user.js'
import type { ClaimedPart } from './claimed-parts.js'
import { getUploadedFile } from './find-upload.js'
import { LEASE_MS, MISSING, RETRY_AFTER_SECONDS, settleUpload } from './settle-upload.js'

/** Nothing is left to send. */
export type CompletedFile = ReadyFile | ScanningFile | VerifyingFile

/**
 * Puts the object together where needed, looks at what arrived, and makes the file ready, or rejected and its
 * object deleted. Safe to repeat: a settled upload answers from its row. Of callers at the same time one
 * verifies; the others, and one that would wait too long, get the `verifying` file.
 * @throws {ApiError} UPLOAD_NOT_FOUND, UPLOAD_EXPIRED, OBJECT_MISSING (send what is missing, then call again),
 *   INVALID_REQUEST (a claimed part is not what S3 has), OBJECT_MISMATCH, OBJECT_STORAGE_ERROR (nothing is
 *   decided; call again)
 */
export async function completeUpload (services: Services, user: User, id: string, claimed?: readonly ClaimedPart[]): Promise<CompletedFile> {
  const file = await getUploadedFile(services, user, id)
  if (file.status !== 'pending' && file.status !== 'verifying') return settled(file)
  const now = services.now()
  const held = await services.files.markVerifying(file.id, { token: services.newId(), until: new Date(now.getTime() + LEASE_MS) }, now)
  if (!held) {
    const current = await waitForOther(services, user, id)
    return current.status === 'pending' ? await completeUpload(services, user, id, claimed) : settled(current)
  }
  const work = settleUpload(services, held, claimed)
  services.background.add(work)
  const finished = work.then(ready => ({ ready }), (error: unknown) => ({ error })).finally(() => services.background.delete(work))
  const outcome = await Promise.race([finished, patience(services.config.completeWaitSeconds)])
  if (outcome === null) {
    work.catch((error: unknown) => { logFault(services, held, error) })
    return held
  }
  if ('error' in outcome) throw outcome.error
  return outcome.ready ?? settled(await getUploadedFile(services, user, id))
}

/** Most looks take a moment: a client that comes while another one is taken, as bucket events begin them, need not come again. */
const OTHER_MS = 1000
const LOOK_AGAIN_MS = 50

async function waitForOther (services: Services, user: User, id: string): Promise<LivingFile> {
  let left = Math.min(OTHER_MS, services.config.completeWaitSeconds * 1000)
  for (;;) {
    const file = await getUploadedFile(services, user, id)
    if (file.status !== 'verifying' || left <= 0) return file
    left -= LOOK_AGAIN_MS
    await delay(LOOK_AGAIN_MS)
  }
}

/** Nobody waits for the answer any more. What the client has to do about it, if anything, it hears at its next call. */
function logFault ({ log }: Services, { id }: VerifyingFile, error: unknown): void {
  if (error instanceof ApiError && error.status < 500) return
  log.error({ err: error instanceof ApiError ? error.cause ?? error : error, fileId: id }, 'an upload could not be verified, after its client was told to ask again')
}

/** A client waits this long before it is told to ask again; the work goes on. */
async function patience (seconds: number): Promise<null> {
  await delay(seconds * 1000, undefined, { ref: false })
  return null
}

function settled (file: LivingFile): CompletedFile {
  switch (file.status) {
    case 'ready':
    case 'scanning':
    case 'verifying': return file
    case 'rejected': throw new ApiError('OBJECT_MISMATCH', `${file.rejectedReason} The upload is rejected and its bytes are deleted: create a new one.`)
    case 'expired': throw new ApiError('UPLOAD_EXPIRED', 'This upload was given up. Create a new one.')
    case 'pending': throw new ApiError('OBJECT_MISSING', MISSING, { retryAfterSeconds: RETRY_AFTER_SECONDS })
  }
}
