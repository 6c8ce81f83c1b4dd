import { sql, type Kysely, type Transaction, type UpdateObject } from 'kysely'
import { query, retryConflicts } from '../database/database.js'
import type { Database } from '../database/schema.js'
import type { OwnerScope } from '../user.js'
import type { DeletedFile, ExpiredFile, File, FileId, FileStatus, PendingFile, ReadyFile, RejectedFile, ScanningFile, VerifyingFile } from './file.js'
import type { NewUpload } from './count-by-owner.js'
import { createDueFiles } from './due-files.js'
import { NO_EVENTS, type FileEvents, type FileEventType } from './file-events.js'
import { createFileQueries } from './file-queries.js'
import { readyColumns, toFile, WITHOUT_LEASE, type Finding } from './file-row.js'
import { groupInserts } from './group-inserts.js'
import { insertAtOnce } from './insert-at-once.js'
import { insertPending } from './insert-pending.js'
import { replaceContent, type Replaced } from './replace-content.js'
import { changeUsage, NO_USAGE, type Usage } from './usage.js'

/**
 * All that is remembered of files. Each change of status is one conditional update: of any number of callers,
 * exactly one wins, and the others get null. The owner's usage changes in the same transaction, and so does what
 * `events` keeps of it. Nothing here talks to S3.
 */
export type FilesRepository = ReturnType<typeof createFilesRepository>

/** Whoever makes a tombstone deletes its object at once; when that dies, the sweeper does it after this. */
const PURGE_MS = 60_000
const purgeBy = (now: Date): number => now.getTime() + PURGE_MS

interface Guard { readonly scope?: OwnerScope, readonly leaseToken?: string, readonly readyBefore?: Date, readonly urlsEndedBefore?: Date, readonly key?: string }

/** The state that the caller knows, and its lease where there is one. */
const leaseOf = (file: VerifyingFile | ScanningFile): Guard => file.status === 'verifying' ? { leaseToken: file.leaseToken } : {}

export function createFilesRepository (database: Kysely<Database>, events: FileEvents = NO_EVENTS) {
  /** Changes one row when it is still in one of these states; null when it is not, or not within the guard. */
  async function transition (executor: Kysely<Database>, id: string, from: readonly FileStatus[], set: UpdateObject<Database, 'files'>, now: Date, { scope, leaseToken, readyBefore, urlsEndedBefore, key }: Guard = {}): Promise<File | null> {
    let update = executor.updateTable('files')
      .set({ ...set, updated_at: now.getTime(), version: sql`version + 1` })
      .where('id', '=', id).where('status', 'in', from)
    if (leaseToken !== undefined) update = update.where('lease_token', '=', leaseToken)
    if (readyBefore) update = update.where('ready_at', '<', readyBefore.getTime())
    if (urlsEndedBefore) update = update.where('url_deadline', '<', urlsEndedBefore.getTime())
    if (key !== undefined) update = update.where('object_key', '=', key)
    if (scope) update = update.where('tenant', '=', scope.tenant)
    if (scope?.owner !== undefined) update = update.where('owner', '=', scope.owner)
    const row = await update.returningAll().executeTakeFirst()
    return row ? toFile(row) : null
  }

  /** The same for a change that counts: the usage of the owner follows in the same transaction, and the event is kept. */
  async function countedTransition (type: FileEventType, id: string, from: readonly FileStatus[], set: UpdateObject<Database, 'files'>, now: Date, guard: Guard, change: (file: File) => Usage): Promise<File | null> {
    const file = await inTransaction(async transaction => {
      const file = await transition(transaction, id, from, set, now, guard)
      if (file) {
        await changeUsage(transaction, file, change(file))
        await events.record(transaction, type, file, now)
      }
      return file
    })
    if (file) events.committed(type, file)
    return file
  }

  async function inTransaction<T> (run: (transaction: Transaction<Database>) => Promise<T>): Promise<T> {
    return await query(async () => await retryConflicts(async () => await database.transaction().execute(run)))
  }

  const giveBackPending = (file: File): Usage => ({ files: -1, bytes: -file.reservedBytes, pending: -1 })

  return {
    ...createDueFiles(database),
    ...createFileQueries(database),

    /**
     * Inserts new uploads, each deciding for itself: what fits into its owner's quota is inserted and reserved. The
     * order of the outcomes is that of the uploads. Calls of one moment share a transaction.
     */
    insertPending: groupInserts(async (uploads: readonly NewUpload[]) =>
      await query(async () => await retryConflicts(async () => await insertAtOnce(database, uploads))) ??
      await inTransaction(async transaction => await insertPending(transaction, uploads))),

    /** Remembers that a write URL which lives this long is about to be handed out. Never lowers the deadline. */
    async raiseUrlDeadline (id: string, deadline: Date, now: Date): Promise<PendingFile | null> {
      const later = sql<number>`case when url_deadline > ${deadline.getTime()} then url_deadline else ${deadline.getTime()} end`
      return await query(async () => await transition(database, id, ['pending'], { url_deadline: later }, now)) as PendingFile | null
    },

    /** Remembers S3's name of a multipart upload, in place of `previous`; null when someone else was faster. */
    async setMultipartUploadId (id: string, previous: string | null, multipartUploadId: string, now: Date): Promise<PendingFile | null> {
      return await query(async () => {
        const row = await database.updateTable('files')
          .set({ multipart_upload_id: multipartUploadId, updated_at: now.getTime(), version: sql`version + 1` })
          .where('id', '=', id).where('status', '=', 'pending').where('multipart_upload_id', previous === null ? 'is' : '=', previous)
          .returningAll().executeTakeFirst()
        return row ? toFile(row) as PendingFile : null
      })
    },

    /** Takes the lease on a pending file, or on one whose holder let it run out. */
    async markVerifying (id: string, lease: { readonly token: string, readonly until: Date }, now: Date): Promise<VerifyingFile | null> {
      return await query(async () => {
        const row = await database.updateTable('files')
          .set({ status: 'verifying', lease_token: lease.token, lease_until: lease.until.getTime(), next_check_at: lease.until.getTime() + 1, attempts: sql`attempts + 1`, updated_at: now.getTime(), version: sql`version + 1` })
          .where('id', '=', id)
          .where(where => where.or([where('status', '=', 'pending'), where.and([where('status', '=', 'verifying'), where('lease_until', '<', now.getTime())])]))
          .returningAll().executeTakeFirst()
        return row ? toFile(row) as VerifyingFile : null
      })
    },

    /** Keeps the lease of a verification that takes long; false when it is lost. */
    async renewLease (id: string, leaseToken: string, until: Date, now: Date): Promise<boolean> {
      return await query(async () => await transition(database, id, ['verifying'], { lease_until: until.getTime(), next_check_at: until.getTime() + 1 }, now, { leaseToken })) !== null
    },

    /** How many bytes the parts have that the client has named: from now on they can be put together without it. */
    async rememberSize (id: string, leaseToken: string, sizeBytes: number, now: Date): Promise<VerifyingFile | null> {
      return await query(async () => await transition(database, id, ['verifying'], { size_bytes: sizeBytes }, now, { leaseToken })) as VerifyingFile | null
    },

    /** Gives the lease back: nothing was found, or the store could not be asked. */
    async releaseToPending (id: string, leaseToken: string, nextCheckAt: Date, now: Date): Promise<PendingFile | null> {
      const set = { ...WITHOUT_LEASE, status: 'pending', next_check_at: nextCheckAt.getTime() }
      return await query(async () => await transition(database, id, ['verifying'], set, now, { leaseToken })) as PendingFile | null
    },

    /** What was found is kept, for when the verdict of the scan comes. At `deadline` the sweeper looks what became of it. */
    async markScanning (file: VerifyingFile, { etag, sizeBytes }: Finding, deadline: Date, now: Date): Promise<ScanningFile | null> {
      const set = { ...WITHOUT_LEASE, status: 'scanning', etag, size_bytes: sizeBytes, reserved_bytes: sizeBytes, next_check_at: deadline.getTime() }
      return await countedTransition('file.scanning', file.id, ['verifying'], set, now, leaseOf(file), () => ({
        files: 0, bytes: sizeBytes - file.reservedBytes, pending: 0
      })) as ScanningFile | null
    },

    async markReady (file: VerifyingFile | ScanningFile, finding: Finding, now: Date): Promise<ReadyFile | null> {
      const set = { ...WITHOUT_LEASE, ...readyColumns(file, finding, now) }
      return await countedTransition('file.ready', file.id, [file.status], set, now, leaseOf(file), () => ({
        files: 0, bytes: finding.sizeBytes - file.reservedBytes, pending: -1
      })) as ReadyFile | null
    },

    async markReadyReplacing (file: VerifyingFile | ScanningFile, replaces: FileId, finding: Finding, now: Date): Promise<Replaced | null> {
      const replaced = await inTransaction(async transaction => {
        const replaced = await replaceContent(transaction, file, replaces, finding, now)
        // The upload's own id was never that of a file: its tombstone is no news.
        if (replaced) await events.record(transaction, 'file.ready', replaced.ready, now)
        return replaced
      })
      if (replaced) events.committed('file.ready', replaced.ready)
      return replaced
    },

    async markRejected (file: VerifyingFile | ScanningFile, reason: string, now: Date): Promise<RejectedFile | null> {
      const set = { ...WITHOUT_LEASE, status: 'rejected', rejected_reason: reason, next_check_at: purgeBy(now) }
      return await countedTransition('file.rejected', file.id, [file.status], set, now, leaseOf(file), giveBackPending) as RejectedFile | null
    },

    /**
     * Ends an upload that has not become ready; a verification under way loses its lease.
     * @param from also `scanning`, where someone wants it so and not only nothing came
     */
    async markExpired (id: string, scope: OwnerScope, now: Date, { from = ['pending', 'verifying'], urlsEndedBefore, forgetsKey = false }: { readonly from?: readonly FileStatus[], readonly urlsEndedBefore?: Date, readonly forgetsKey?: boolean } = {}): Promise<ExpiredFile | null> {
      const set = { ...WITHOUT_LEASE, status: 'expired', next_check_at: purgeBy(now), ...(forgetsKey && { idem_key: null, idem_hash: null }) }
      return await countedTransition('file.expired', id, from, set, now, { scope, ...(urlsEndedBefore && { urlsEndedBefore }) }, giveBackPending) as ExpiredFile | null
    },

    /**
     * @param urlDeadline when the last URL that may touch the object ends
     * @param readyBefore spares a file whose content is newer
     */
    async markDeleted (id: string, scope: OwnerScope, now: Date, { urlDeadline, readyBefore }: { readonly urlDeadline?: Date, readonly readyBefore?: Date } = {}): Promise<DeletedFile | null> {
      const later = urlDeadline && sql<number>`case when url_deadline > ${urlDeadline.getTime()} then url_deadline else ${urlDeadline.getTime()} end`
      const set = { status: 'deleted', next_check_at: purgeBy(now), ...(later && { url_deadline: later }) }
      return await countedTransition('file.deleted', id, ['ready'], set, now, { scope, ...(readyBefore && { readyBefore }) }, file => ({ files: -1, bytes: -file.reservedBytes, pending: 0 })) as DeletedFile | null
    },

    /**
     * Tells that the object of a ready file is not there. The file stays what it is: downloads fail by themselves.
     * @param key where it was looked for: a file that was replaced meanwhile has its object elsewhere
     */
    async reportMissing (id: string, key: string, now: Date): Promise<ReadyFile | null> {
      return await countedTransition('file.missing', id, ['ready'], {}, now, { key }, () => NO_USAGE) as ReadyFile | null
    },

    /** Changes what people may change of a file that is not a tombstone. */
    async updateDetails (id: string, scope: OwnerScope, details: { readonly filename?: string, readonly metadata?: Readonly<Record<string, string>> }, now: Date): Promise<File | null> {
      return await query(async () => await transition(database, id, ['pending', 'verifying', 'scanning', 'ready'], {
        ...(details.filename !== undefined && { filename: details.filename }),
        ...(details.metadata !== undefined && { metadata: JSON.stringify(details.metadata) })
      }, now, { scope }))
    }
  }
}
