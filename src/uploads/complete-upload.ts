import { setTimeout as delay } from 'node:timers/promises'
import { ApiError } from '../errors.js'
import type { LivingFile, ReadyFile, VerifyingFile } from '../files/file.js'
import { purgeObject } from '../files/purge-object.js'
import type { Services } from '../services.js'
import type { User } from '../user.js'
import { assembleObject } from './assemble-object.js'
import { getUploadedFile } from './find-upload.js'
import { verifyObject, type Verdict } from './verify-object.js'

/** How long a verification may go without renewing its lease. */
const LEASE_MS = 60_000
const RENEW_MS = 20_000
const RETRY_AFTER_SECONDS = 2

/** What the client says S3 answered for its parts: only compared with what S3 says itself. */
export interface ClaimedPart { readonly partNumber: number, readonly etag: string }

/**
 * Puts the object together where needed, looks at what arrived, and makes the file ready, or rejected and its
 * object deleted. Safe to repeat: a settled upload answers from its row. Of callers at the same time one
 * verifies; the others, and one that would wait too long, get the `verifying` file.
 * @throws {ApiError} UPLOAD_NOT_FOUND, UPLOAD_EXPIRED, OBJECT_MISSING (send what is missing, then call again),
 *   INVALID_REQUEST (a claimed part is not what S3 has), OBJECT_MISMATCH, OBJECT_STORAGE_ERROR (nothing is
 *   decided; call again)
 */
export async function completeUpload (services: Services, user: User, id: string, claimed?: readonly ClaimedPart[]): Promise<ReadyFile | VerifyingFile> {
  const file = await getUploadedFile(services, user, id)
  if (file.status !== 'pending' && file.status !== 'verifying') return settled(file)
  const now = services.now()
  const held = await services.files.markVerifying(file.id, { token: services.newId(), until: new Date(now.getTime() + LEASE_MS) }, now)
  if (!held) {
    const current = await getUploadedFile(services, user, id)
    return current.status === 'pending' ? await completeUpload(services, user, id, claimed) : settled(current)
  }
  const work = verifyWithLease(services, held, claimed)
  services.background.add(work)
  const finished = work.then(ready => ({ ready }), (error: unknown) => ({ error })).finally(() => services.background.delete(work))
  const outcome = await Promise.race([finished, patience(services.config.completeWaitSeconds)])
  if (outcome === null) return held
  if ('error' in outcome) throw outcome.error
  return outcome.ready ?? settled(await getUploadedFile(services, user, id))
}

/** A client waits this long before it is told to ask again; the work goes on. */
async function patience (seconds: number): Promise<null> {
  await delay(seconds * 1000, undefined, { ref: false })
  return null
}

/** Keeps the lease while it works. Null when the lease was lost on the way: someone else has decided. */
async function verifyWithLease (services: Services, file: VerifyingFile, claimed: readonly ClaimedPart[] | undefined): Promise<ReadyFile | null> {
  const renewal = setInterval(() => {
    const now = services.now()
    services.files.renewLease(file.id, file.leaseToken, new Date(now.getTime() + LEASE_MS), now)
      .catch((error: unknown) => services.log.warn({ err: error, fileId: file.id }, 'a lease could not be renewed'))
  }, RENEW_MS)
  try {
    const missing = await assembleObject(services, file, claimed)
    return await finish(services, file, missing ?? await verifyObject(services, file))
  } catch (error) {
    // What fails after someone else has decided, an abort above all, is no news to the client.
    if (await release(services, file) === 'lost') return null
    throw error
  } finally {
    clearInterval(renewal)
  }
}

async function finish (services: Services, file: VerifyingFile, verdict: Verdict): Promise<ReadyFile | null> {
  const { files } = services
  const now = services.now()
  switch (verdict.outcome) {
    case 'missing': throw new ApiError('OBJECT_MISSING', verdict.detail ?? MISSING, { retryAfterSeconds: RETRY_AFTER_SECONDS })
    case 'mismatch': {
      const rejected = await files.markRejected(file, verdict.reason, now)
      if (rejected) await purgeObject(services, rejected)
      return null
    }
    case 'match': {
      if (file.replaces === null) {
        const ready = await files.markReady(file, verdict, now)
        if (ready?.stagingKey) await purgeStaging(services, ready)
        return ready
      }
      const swapped = await files.markReadyReplacing(file, file.replaces, verdict, now)
      if (swapped?.ready.stagingKey) await purgeStaging(services, swapped.ready)
      if (swapped?.old) await purgeObject(services, swapped.old)
      return swapped && swapped.ready
    }
  }
}

/** Gives the lease back, so that the next call, or the sweeper, tries again. */
async function release ({ files, now, log }: Services, file: VerifyingFile): Promise<'released' | 'lost' | 'unknown'> {
  const at = now()
  try {
    return await files.releaseToPending(file.id, file.leaseToken, new Date(at.getTime() + LEASE_MS), at) ? 'released' : 'lost'
  } catch (error) {
    log.warn({ err: error, fileId: file.id }, 'a lease could not be given back; it will run out')
    return 'unknown'
  }
}

/** The sealed copy is what counts; what is left in staging goes now, or with the sweeper. */
async function purgeStaging ({ objectStorage, log }: Services, file: ReadyFile): Promise<void> {
  await objectStorage.deleteObject({ bucket: file.bucket, key: file.stagingKey ?? '' })
    .catch((error: unknown) => log.warn({ err: error, fileId: file.id }, 'a staging object could not be deleted yet'))
}

const MISSING = 'Nothing has arrived at the upload URL yet. Send the bytes, then call complete again.'

function settled (file: LivingFile): ReadyFile | VerifyingFile {
  switch (file.status) {
    case 'ready':
    case 'verifying': return file
    case 'rejected': throw new ApiError('OBJECT_MISMATCH', `${file.rejectedReason} The upload is rejected and its bytes are deleted: create a new one.`)
    case 'expired': throw new ApiError('UPLOAD_EXPIRED', 'This upload was given up. Create a new one.')
    case 'pending': throw new ApiError('OBJECT_MISSING', MISSING, { retryAfterSeconds: RETRY_AFTER_SECONDS })
  }
}
