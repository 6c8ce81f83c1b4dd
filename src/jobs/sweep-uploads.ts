import { ApiError } from '../errors.js'
import type { File, ScanningFile } from '../files/file.js'
import { purgeObject, purgeLeftovers } from '../files/purge-object.js'
import type { Services } from '../services.js'
import { applyRetention } from './apply-retention.js'
import { LEASE_MS, settleUpload } from '../uploads/settle-upload.js'

export interface SweepReport {
  /** Rows that were due and looked at. */
  readonly swept: number
  /** Uploads completed for clients that vanished. */
  readonly ready: number
  /** Uploads given up because nothing came before their last URL ended. */
  readonly expired: number
  /** Files deleted since their policy keeps them no longer. */
  readonly deleted: number
}

const BATCH = 100
/** A ticket that is over can be told from one that never was for this long, in the database alone. */
const KEEP_TICKETS_MS = 24 * 3_600_000
/** How many rows wait for the store at a time. */
const CONCURRENCY = 5
/** For files whose policy has them scanned no longer. */
const DEFAULT_SCAN_SECONDS = 3600
/** When to look for the object of a pending upload again, by how often it was looked at. */
const CHECK_AGAIN_MS = [60_000, 300_000, 900_000]

/**
 * Does what is due: completes uploads whose client vanished, gives up those whose URLs have ended without an
 * object, takes up verifications that died, and deletes what tombstones left in the bucket and what is older than
 * its policy keeps it. Each row is claimed
 * by pushing its next check into the future, so any number of processes may sweep; a crash leaves the row due
 * again a minute later. No transaction is open while the store is asked.
 */
export async function sweepUploads (services: Services, signal?: AbortSignal): Promise<SweepReport> {
  const report = { swept: 0, ready: 0, expired: 0, deleted: 0 }
  const isStopped = (): boolean => signal?.aborted ?? false
  while (!isStopped()) {
    const now = services.now()
    const due = await services.files.claimDue(now, BATCH, new Date(now.getTime() + LEASE_MS))
    for (let begin = 0; begin < due.length && !isStopped(); begin += CONCURRENCY) {
      await Promise.all(due.slice(begin, begin + CONCURRENCY).map(async file => {
        report.swept++
        const outcome = await sweep(services, file)
        if (outcome !== null) report[outcome]++
      }))
    }
    if (due.length < BATCH) break
  }
  report.deleted = await applyRetention(services, signal)
  if (!isStopped()) await services.tickets.deleteEnded(new Date(services.now().getTime() - KEEP_TICKETS_MS))
  return report
}

async function sweep (services: Services, file: File): Promise<'ready' | 'expired' | null> {
  try {
    switch (file.status) {
      case 'pending':
      case 'verifying': return await sweepUnsettled(services, file)
      case 'scanning': await sweepScanning(services, file); return null
      case 'ready': await purgeLeftovers(services, file); return null
      default: await purgeObject(services, file); return null
    }
  } catch (error) {
    services.log.warn({ err: error, fileId: file.id }, 'a row could not be swept yet')
    return null
  }
}

async function sweepUnsettled (services: Services, file: File): Promise<'ready' | 'expired' | null> {
  const now = services.now()
  const held = await services.files.markVerifying(file.id, { token: services.newId(), until: new Date(now.getTime() + LEASE_MS) }, now)
  if (!held) return null
  try {
    return (await settleUpload(services, held))?.status === 'ready' ? 'ready' : null
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 'OBJECT_MISSING') throw error
    if (held.urlDeadline < now) {
      // Only a 404 after the last URL has ended gives an upload up.
      const expired = await services.files.markExpired(file.id, file, services.now())
      if (expired) await purgeObject(services, expired)
      return expired && 'expired'
    }
    const again = now.getTime() + (CHECK_AGAIN_MS[held.attempts - 1] ?? CHECK_AGAIN_MS.at(-1) ?? 0)
    await services.files.postponeCheck(file.id, new Date(Math.min(again, held.urlDeadline.getTime() + 1000)))
    return null
  }
}

/** The verdict did not come in time. That alone lets nothing through; whether it takes anything away is for the policy to say. */
async function sweepScanning (services: Services, file: ScanningFile): Promise<void> {
  const { files, log } = services
  const now = services.now()
  const scan = services.policies.get(file.policy)?.scan
  if (scan?.onDeadline === 'reject') {
    const rejected = await files.markRejected(file, 'No scanner has looked at the file in time.', now)
    if (rejected) await purgeObject(services, rejected)
    return
  }
  log.warn({ fileId: file.id, policy: file.policy }, 'a file waits for the verdict of a scanner longer than it should')
  await files.postponeCheck(file.id, new Date(now.getTime() + (scan?.deadlineSeconds ?? DEFAULT_SCAN_SECONDS) * 1000))
}
