import type { File, ScanningFile } from '../files/file.js'
import { purgeObject, purgeLeftovers } from '../files/purge-object.js'
import type { Services } from '../services.js'
import { applyRetention } from './apply-retention.js'
import { LEASE_MS } from '../uploads/settle-upload.js'
import { isUnderWay, verifyUnsettled } from '../uploads/verify-unsettled.js'

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

/**
 * Does what is due: completes uploads whose client vanished, gives up those whose URLs have ended without an
 * object, takes up verifications that died, and deletes what tombstones left in the bucket. Between, it deletes what
 * is older than its policy keeps it, some at a time. Each row is claimed by pushing its next check into the future, so any number of processes
 * may sweep; a crash leaves the row due again a minute later. No transaction is open while the store is asked.
 */
export async function sweepUploads (services: Services, signal?: AbortSignal): Promise<SweepReport> {
  const report = { swept: 0, ready: 0, expired: 0, deleted: 0 }
  for (let isMore = true; isMore && !signal?.aborted;) {
    await sweepDue(services, report, signal)
    const retention = await applyRetention(services, signal)
    report.deleted += retention.deleted
    isMore = retention.isMore
    if (!signal?.aborted) await services.tickets.deleteEnded(new Date(services.now().getTime() - KEEP_TICKETS_MS))
  }
  return report
}

async function sweepDue (services: Services, report: { -readonly [Count in keyof SweepReport]: number }, signal: AbortSignal | undefined): Promise<void> {
  while (!signal?.aborted) {
    const now = services.now()
    const due = await services.files.claimDue(now, BATCH, new Date(now.getTime() + LEASE_MS))
    for (let begin = 0; begin < due.length && !signal?.aborted; begin += CONCURRENCY) {
      await Promise.all(due.slice(begin, begin + CONCURRENCY).map(async file => {
        report.swept++
        const outcome = await sweep(services, file)
        if (outcome !== null) report[outcome]++
      }))
    }
    if (due.length < BATCH) break
  }
}

async function sweep (services: Services, file: File): Promise<'ready' | 'expired' | null> {
  try {
    switch (file.status) {
      case 'pending': return await isUnderWay(services, file) ? null : await verifyUnsettled(services, file.id)
      case 'verifying': return await verifyUnsettled(services, file.id)
      case 'scanning': await sweepScanning(services, file); return null
      case 'ready': await purgeLeftovers(services, file); return null
      default: await purgeObject(services, file); return null
    }
  } catch (error) {
    services.log.warn({ err: error, fileId: file.id }, 'a row could not be swept yet')
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
  await files.postponeCheck(file.id, 'scanning', new Date(now.getTime() + (scan?.deadlineSeconds ?? DEFAULT_SCAN_SECONDS) * 1000))
}
