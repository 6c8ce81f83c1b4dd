import { ApiError } from '../errors.js'
import type { ReadyFile, ScanningFile, VerifyingFile } from '../files/file.js'
import { makeReady } from '../files/make-ready.js'
import { purgeObject, purgeLeftovers } from '../files/purge-object.js'
import type { Services } from '../services.js'
import { assembleObject } from './assemble-object.js'
import type { ClaimedPart } from './claimed-parts.js'
import { verifyObject, type Verdict } from './verify-object.js'

/** How long a verification may go without renewing its lease. */
export const LEASE_MS = 60_000
const RENEW_MS = 20_000
export const RETRY_AFTER_SECONDS = 2
export const MISSING = 'Nothing has arrived at the upload URL yet. Send the bytes, then call complete again.'

/**
 * Decides about an upload whose lease the caller holds: puts the object together where needed, looks at it, and
 * makes the file ready, or rejected, or hands it to the scanner. The lease is renewed while it works and given back
 * when nothing is decided.
 * @returns null when the file is rejected, or the lease was lost on the way: the row tells
 * @throws {ApiError} OBJECT_MISSING, INVALID_REQUEST for a claim that is wrong, OBJECT_STORAGE_ERROR
 */
export async function settleUpload (services: Services, file: VerifyingFile, claimed?: readonly ClaimedPart[]): Promise<ReadyFile | ScanningFile | null> {
  const renewal = setInterval(() => {
    const now = services.now()
    services.files.renewLease(file.id, file.leaseToken, new Date(now.getTime() + LEASE_MS), now)
      .catch((error: unknown) => services.log.warn({ err: error, fileId: file.id }, 'a lease could not be renewed'))
  }, RENEW_MS)
  const begin = performance.now()
  try {
    const missing = await assembleObject(services, file, claimed)
    return await finish(services, file, missing ?? await verifyObject(services, file))
  } catch (error) {
    // What fails after someone else has decided, an abort above all, is no news to the client.
    if (await release(services, file) === 'lost') {
      services.metrics.leaseLost()
      return null
    }
    throw error
  } finally {
    clearInterval(renewal)
    services.metrics.verification((performance.now() - begin) / 1000)
  }
}

async function finish (services: Services, file: VerifyingFile, verdict: Verdict): Promise<ReadyFile | ScanningFile | null> {
  const { files } = services
  const now = services.now()
  switch (verdict.outcome) {
    case 'missing': throw new ApiError('OBJECT_MISSING', verdict.detail ?? MISSING, { retryAfterSeconds: RETRY_AFTER_SECONDS })
    case 'mismatch': {
      const rejected = await files.markRejected(file, verdict.reason, now)
      if (rejected) await purgeObject(services, rejected)
      else services.metrics.leaseLost()
      return null
    }
    case 'match': {
      const scan = services.policies.get(file.policy)?.scan
      if (!scan) {
        const ready = await makeReady(services, file, verdict)
        if (!ready) services.metrics.leaseLost()
        return ready
      }
      const scanning = await files.markScanning(file, verdict, new Date(now.getTime() + scan.deadlineSeconds * 1000), now)
      if (scanning) await purgeLeftovers(services, scanning)
      else services.metrics.leaseLost()
      return scanning
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
