import { ApiError } from '../errors.js'
import type { LivingFile, ReadyFile, VerifyingFile } from '../files/file.js'
import { purgeObject } from '../files/purge-object.js'
import type { Services } from '../services.js'
import type { User } from '../user.js'
import { getUploadedFile } from './find-upload.js'
import { verifyObject } from './verify-object.js'

/** Longer than any verification takes: HEAD and a ranged GET, each of at most nine seconds, three times. */
const LEASE_MS = 60_000
const RETRY_AFTER_SECONDS = 2

/**
 * Looks at what arrived and makes the file ready, or rejected and its object deleted. Safe to repeat: a settled
 * upload answers from its row. Of callers at the same time one verifies; the others get the `verifying` file.
 * @throws {ApiError} UPLOAD_NOT_FOUND, UPLOAD_EXPIRED, OBJECT_MISSING (send the bytes, then call again),
 *   OBJECT_MISMATCH, OBJECT_STORAGE_ERROR (nothing is decided; call again)
 */
export async function completeUpload (services: Services, user: User, id: string): Promise<ReadyFile | VerifyingFile> {
  const file = await getUploadedFile(services, user, id)
  if (file.status !== 'pending' && file.status !== 'verifying') return settled(file)
  const now = services.now()
  const leaseToken = services.newId()
  const held = await services.files.markVerifying(file.id, { token: leaseToken, until: new Date(now.getTime() + LEASE_MS) }, now)
  if (!held) {
    const current = await getUploadedFile(services, user, id)
    return current.status === 'pending' ? await completeUpload(services, user, id) : settled(current)
  }
  const ready = await verifyAndFinish(services, held)
  return ready ?? settled(await getUploadedFile(services, user, id))
}

/** Null when the lease was lost on the way: someone else has decided. */
async function verifyAndFinish (services: Services, file: VerifyingFile): Promise<ReadyFile | null> {
  const { files } = services
  const release = async () => {
    const now = services.now()
    await files.releaseToPending(file.id, file.leaseToken, new Date(now.getTime() + LEASE_MS), now)
  }
  const verdict = await verifyObject(services, file).catch(async error => {
    await release()
    throw error
  })
  if (verdict.outcome === 'missing') {
    await release()
    throw new ApiError('OBJECT_MISSING', 'Nothing has arrived at the upload URL yet. Send the bytes, then call complete again.', { retryAfterSeconds: RETRY_AFTER_SECONDS })
  }
  if (verdict.outcome === 'mismatch') {
    const rejected = await files.markRejected(file.id, file.leaseToken, verdict.reason, services.now())
    if (rejected) await purgeObject(services, rejected)
    return null
  }
  if (file.replaces === null) return await files.markReady(file.id, file.leaseToken, verdict, services.now())
  const swapped = await files.markReadyReplacing(file.id, file.leaseToken, file.replaces, verdict, services.now())
  if (swapped?.old) await purgeObject(services, swapped.old)
  return swapped && swapped.ready
}

function settled (file: LivingFile): ReadyFile | VerifyingFile {
  switch (file.status) {
    case 'ready':
    case 'verifying': return file
    case 'rejected': throw new ApiError('OBJECT_MISMATCH', `${file.rejectedReason} The upload is rejected and its bytes are deleted: create a new one.`)
    case 'expired': throw new ApiError('UPLOAD_EXPIRED', 'This upload was given up. Create a new one.')
    case 'pending': throw new ApiError('OBJECT_MISSING', 'Nothing has arrived at the upload URL yet. Send the bytes, then call complete again.', { retryAfterSeconds: RETRY_AFTER_SECONDS })
  }
}
