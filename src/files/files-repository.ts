import { PostgresAdapter, sql, type Kysely, type Transaction, type UpdateObject } from 'kysely'
import { query } from '../database/database.js'
import type { Database } from '../database/schema.js'
import type { Quota } from '../policies/policy.js'
import type { OwnerScope } from '../user.js'
import type { DeletedFile, ExpiredFile, File, FileId, FileStatus, PendingFile, ReadyFile, RejectedFile, VerifyingFile } from './file.js'
import { groupInserts } from './group-inserts.js'
import { contentColumns, newRow, toFile, type NewFile } from './file-row.js'
import { changeUsage, findExceeded, lockUsage, NO_USAGE, type Usage, type UsageKey } from './usage.js'

/** A position in a listing: the row after which the next page begins. */
export interface FilePosition { readonly createdAt: Date, readonly id: string }

export interface FileQuery {
  readonly tenant: string
  readonly owner: string
  readonly status: FileStatus
  readonly policy?: string
  readonly after?: FilePosition
  /** 1 to 101. */
  readonly limit: number
}

/** What a verification found; it becomes the row in one transaction. */
export interface Finding { readonly etag: string, readonly sizeBytes: number }

/** What became of one new upload: it is there, a limit is reached, or its idempotency key is taken. */
export type Inserted =
  | { readonly outcome: 'inserted', readonly file: PendingFile }
  | { readonly outcome: 'exceeded', readonly limit: keyof Quota }
  | { readonly outcome: 'duplicate' }

/**
 * All that is remembered of files. Each change of status is one conditional update: of any number of callers,
 * exactly one wins, and the others get null. The owner's usage changes in the same transaction. Nothing here
 * talks to S3.
 */
export type FilesRepository = ReturnType<typeof createFilesRepository>

/** A PUT that S3 accepted in the last second of its URL may take this long to finish. */
const SLOW_REQUEST_MS = 24 * 3_600_000

/** Whoever makes a tombstone deletes its object at once; when that dies, the sweeper does it after this. */
const PURGE_MS = 60_000
const purgeBy = (now: Date): number => now.getTime() + PURGE_MS

interface Guard { readonly scope?: OwnerScope, readonly leaseToken?: string }

export function createFilesRepository (database: Kysely<Database>) {
  const isPostgres = database.getExecutor().adapter instanceof PostgresAdapter

  /** Changes one row when it is still in one of these states; null when it is not, or not within the guard. */
  async function transition (executor: Kysely<Database>, id: string, from: readonly FileStatus[], set: UpdateObject<Database, 'files'>, now: Date, { scope, leaseToken }: Guard = {}): Promise<File | null> {
    let update = executor.updateTable('files')
      .set({ ...set, updated_at: now.getTime(), version: sql`version + 1` })
      .where('id', '=', id).where('status', 'in', from)
    if (leaseToken !== undefined) update = update.where('lease_token', '=', leaseToken)
    if (scope) update = update.where('tenant', '=', scope.tenant)
    if (scope?.owner !== undefined) update = update.where('owner', '=', scope.owner)
    const row = await update.returningAll().executeTakeFirst()
    return row ? toFile(row) : null
  }

  /** The same for a change that counts: the usage of the owner follows in the same transaction. */
  async function countedTransition (id: string, from: readonly FileStatus[], set: UpdateObject<Database, 'files'>, now: Date, guard: Guard, change: (file: File) => Usage): Promise<File | null> {
    return await inTransaction(async transaction => {
      const file = await transition(transaction, id, from, set, now, guard)
      if (file) await changeUsage(transaction, file, change(file))
      return file
    })
  }

  async function inTransaction<T> (run: (transaction: Transaction<Database>) => Promise<T>): Promise<T> {
    return await query(async () => await database.transaction().execute(run))
  }

  async function insertAll (uploads: ReadonlyArray<{ readonly file: NewFile, readonly quota: Quota }>): Promise<Inserted[]> {
    return await inTransaction(async transaction => {
      const reserved = new Map<string, { key: UsageKey, usage: Usage, added: Usage }>()
      // Always in one order, so that two batches never wait for each other.
      for (const { file } of [...uploads].sort((left, right) => usageId(left.file) < usageId(right.file) ? -1 : 1)) {
        if (!reserved.has(usageId(file))) reserved.set(usageId(file), { key: file, usage: await lockUsage(transaction, file), added: NO_USAGE })
      }
      const exceeded = new Map<NewFile, keyof Quota>()
      const seenKeys = new Set<string>()
      const repeated = new Set<NewFile>()
      for (const { file, quota } of uploads) {
        const counters = reserved.get(usageId(file))
        const key = file.idempotency && JSON.stringify([file.tenant, file.owner, file.idempotency.key])
        // Of requests with one key that came together, only the first may count.
        if (!counters || (key !== null && seenKeys.has(key))) {
          repeated.add(file)
          continue
        }
        if (key !== null) seenKeys.add(key)
        const limit = findExceeded(counters.usage, quota, file.reservedBytes)
        if (limit === null) counters.usage = add(counters.usage, file)
        else exceeded.set(file, limit)
      }
      const fitting = uploads.filter(({ file }) => !exceeded.has(file) && !repeated.has(file)).map(({ file }) => newRow(file))
      const rows = fitting.length === 0
        ? []
        : await transaction.insertInto('files').values(fitting).onConflict(conflict => conflict.doNothing()).returningAll().execute()
      const inserted = new Map(rows.map(row => [row.id, toFile(row) as PendingFile]))
      for (const { file } of uploads) {
        const counters = reserved.get(usageId(file))
        if (counters && inserted.has(file.id)) counters.added = add(counters.added, file)
      }
      for (const { key, added } of reserved.values()) if (added.files > 0) await changeUsage(transaction, key, added)
      return uploads.map(({ file }): Inserted => {
        const limit = exceeded.get(file)
        if (limit !== undefined) return { outcome: 'exceeded', limit }
        const row = inserted.get(file.id)
        return row ? { outcome: 'inserted', file: row } : { outcome: 'duplicate' }
      })
    })
  }

  const withoutLease = { lease_token: null, lease_until: null, next_check_at: null }
  const giveBackPending = (file: File): Usage => ({ files: -1, bytes: -file.reservedBytes, pending: -1 })

  return {
    /**
     * Inserts new uploads, each deciding for itself: what fits into its owner's quota is inserted and reserved. The
     * order of the outcomes is that of the uploads. Calls of one moment share a transaction.
     */
    insertPending: groupInserts(insertAll),

    /** One query, whether the id is unknown or someone else's: the two cannot be told apart. */
    async find (id: string, scope: OwnerScope): Promise<File | null> {
      return await query(async () => {
        let select = database.selectFrom('files').selectAll().where('id', '=', id).where('tenant', '=', scope.tenant)
        if (scope.owner !== undefined) select = select.where('owner', '=', scope.owner)
        const row = await select.executeTakeFirst()
        return row ? toFile(row) : null
      })
    },

    /** For downloads, whose visibility may reach beyond the owner. Any tenant: the caller decides. */
    async findOfAnyOwner (id: string): Promise<File | null> {
      return await query(async () => {
        const row = await database.selectFrom('files').selectAll().where('id', '=', id).executeTakeFirst()
        return row ? toFile(row) : null
      })
    },

    /** What earlier requests with these idempotency keys of one owner have made, by key. */
    async findByIdempotencyKeys (tenant: string, owner: string, keys: readonly string[]): Promise<Map<string, { readonly file: File, readonly hash: string }>> {
      return await query(async () => {
        const rows = await database.selectFrom('files').selectAll()
          .where('tenant', '=', tenant).where('owner', '=', owner).where('idem_key', 'in', keys).execute()
        return new Map(rows.map(row => [row.idem_key ?? '', { file: toFile(row), hash: row.idem_hash ?? '' }]))
      })
    },

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

    /** Gives the lease back: nothing was found, or the store could not be asked. */
    async releaseToPending (id: string, leaseToken: string, nextCheckAt: Date, now: Date): Promise<PendingFile | null> {
      const set = { ...withoutLease, status: 'pending', next_check_at: nextCheckAt.getTime() }
      return await query(async () => await transition(database, id, ['verifying'], set, now, { leaseToken })) as PendingFile | null
    },

    async markReady (file: VerifyingFile, finding: Finding, now: Date): Promise<ReadyFile | null> {
      const set = { ...withoutLease, ...readyColumns(file, finding, now) }
      return await countedTransition(file.id, ['verifying'], set, now, { leaseToken: file.leaseToken }, () => ({
        files: 0, bytes: finding.sizeBytes - file.reservedBytes, pending: -1
      })) as ReadyFile | null
    },

    /**
     * Makes a verified upload the content of the file that it replaces, in one transaction: the two rows swap
     * their content, and the upload's row becomes the tombstone of the old object. When the replaced file is not
     * ready any more, the upload becomes a file of its own, so that nothing is lost.
     * @returns the file that is ready now, and the tombstone whose object has to go; null when the lease is lost
     */
    async markReadyReplacing (file: VerifyingFile, replaces: FileId, finding: Finding, now: Date): Promise<{ ready: ReadyFile, old: DeletedFile | null } | null> {
      return await inTransaction(async transaction => {
        const upload = await transaction.updateTable('files')
          .set({ ...withoutLease, ...readyColumns(file, finding, now), updated_at: now.getTime(), version: sql`version + 1` })
          .where('id', '=', file.id).where('status', '=', 'verifying').where('lease_token', '=', file.leaseToken)
          .returningAll().executeTakeFirst()
        if (!upload) return null
        const change = { files: 0, bytes: finding.sizeBytes - file.reservedBytes, pending: -1 }
        const old = await transaction.updateTable('files').set({ version: sql`version + 1` })
          .where('id', '=', replaces).where('status', '=', 'ready').where('tenant', '=', upload.tenant).where('owner', '=', upload.owner)
          .returningAll().executeTakeFirst()
        if (!old) {
          await changeUsage(transaction, upload, change)
          return { ready: toFile(upload) as ReadyFile, old: null }
        }
        const ready = await transaction.updateTable('files')
          .set({ ...contentColumns(upload), metadata: upload.metadata === '{}' ? old.metadata : upload.metadata, updated_at: now.getTime() })
          .where('id', '=', replaces).returningAll().executeTakeFirstOrThrow()
        const tombstone = await transaction.updateTable('files')
          .set({ ...contentColumns(old), status: 'deleted', replaced_into: replaces, next_check_at: old.url_deadline, updated_at: now.getTime() })
          .where('id', '=', file.id).returningAll().executeTakeFirstOrThrow()
        await changeUsage(transaction, upload, { files: -1, bytes: change.bytes - old.reserved_bytes, pending: -1 })
        return { ready: toFile(ready) as ReadyFile, old: toFile(tombstone) as DeletedFile }
      })
    },

    async markRejected (file: VerifyingFile, reason: string, now: Date): Promise<RejectedFile | null> {
      const set = { ...withoutLease, status: 'rejected', rejected_reason: reason, next_check_at: purgeBy(now) }
      return await countedTransition(file.id, ['verifying'], set, now, { leaseToken: file.leaseToken }, giveBackPending) as RejectedFile | null
    },

    /** Ends an upload that has not become ready; a verification under way loses its lease. */
    async markExpired (id: string, scope: OwnerScope, now: Date): Promise<ExpiredFile | null> {
      const set = { ...withoutLease, status: 'expired', next_check_at: purgeBy(now) }
      return await countedTransition(id, ['pending', 'verifying'], set, now, { scope }, giveBackPending) as ExpiredFile | null
    },

    /** `urlDeadline` is when the last URL that may touch the object ends. */
    async markDeleted (id: string, scope: OwnerScope, now: Date, urlDeadline?: Date): Promise<DeletedFile | null> {
      const later = urlDeadline && sql<number>`case when url_deadline > ${urlDeadline.getTime()} then url_deadline else ${urlDeadline.getTime()} end`
      const set = { status: 'deleted', next_check_at: purgeBy(now), ...(later && { url_deadline: later }) }
      return await countedTransition(id, ['ready'], set, now, { scope }, file => ({ files: -1, bytes: -file.reservedBytes, pending: 0 })) as DeletedFile | null
    },

    /**
     * Says that the object of a tombstone was deleted just now. It is gone for good once no request that a write
     * URL began can still bring it back; until then it is due again, when the URLs end and a day later.
     */
    async markPurged (id: string, now: Date): Promise<void> {
      const isFinal = sql<boolean>`url_deadline + ${SLOW_REQUEST_MS} < ${now.getTime()}`
      await query(async () => await database.updateTable('files').set({
        purged_at: sql`case when ${isFinal} then ${now.getTime()} else purged_at end`,
        next_check_at: sql`case when ${isFinal} then null when url_deadline < ${now.getTime()} then url_deadline + ${SLOW_REQUEST_MS + 1} else url_deadline + 1 end`
      }).where('id', '=', id).where('status', 'in', ['rejected', 'expired', 'deleted']).execute())
    },

    /** The same for the staging object of a ready file. */
    async markStagingPurged (id: string, now: Date): Promise<void> {
      const isFinal = sql<boolean>`url_deadline + ${SLOW_REQUEST_MS} < ${now.getTime()}`
      await query(async () => await database.updateTable('files').set({
        staging_key: sql`case when ${isFinal} then null else staging_key end`,
        next_check_at: sql`case when ${isFinal} then null when url_deadline < ${now.getTime()} then url_deadline + ${SLOW_REQUEST_MS + 1} else url_deadline + 1 end`
      }).where('id', '=', id).where('status', '=', 'ready').where('staging_key', 'is not', null).execute())
    },

    /**
     * Takes rows that are due, longest waiting first, and makes them due again at `again`: nobody else gets them
     * until then. Several processes at once get different rows.
     */
    async claimDue (now: Date, limit: number, again: Date): Promise<File[]> {
      return await query(async () => {
        const rows = await database.updateTable('files').set({ next_check_at: again.getTime() })
          .where('id', 'in', select => select.selectFrom('files').select('id').where('next_check_at', '<=', now.getTime())
            .orderBy('next_check_at').limit(limit).$if(isPostgres, builder => builder.forUpdate().skipLocked()))
          .where('next_check_at', '<=', now.getTime())
          .returningAll().execute()
        return rows.map(toFile)
      })
    },

    /** When the sweeper looks at a pending upload next. */
    async postponeCheck (id: string, at: Date): Promise<void> {
      await query(async () => await database.updateTable('files').set({ next_check_at: at.getTime() }).where('id', '=', id).where('status', '=', 'pending').execute())
    },

    /** Changes what people may change of a file that is not a tombstone. */
    async updateDetails (id: string, scope: OwnerScope, details: { readonly filename?: string, readonly metadata?: Readonly<Record<string, string>> }, now: Date): Promise<File | null> {
      return await query(async () => await transition(database, id, ['pending', 'verifying', 'ready'], {
        ...(details.filename !== undefined && { filename: details.filename }),
        ...(details.metadata !== undefined && { metadata: JSON.stringify(details.metadata) })
      }, now, { scope }))
    },

    /** Newest first, by keyset: a page costs the same at any depth. */
    async list ({ tenant, owner, status, policy, after, limit }: FileQuery): Promise<File[]> {
      return await query(async () => {
        let select = database.selectFrom('files').selectAll()
          .where('tenant', '=', tenant).where('owner', '=', owner).where('status', '=', status)
        if (policy !== undefined) select = select.where('policy', '=', policy)
        if (after) {
          select = select.where(where => where(where.refTuple('created_at', 'id'), '<', where.tuple(after.createdAt.getTime(), after.id)))
        }
        const rows = await select.orderBy('created_at', 'desc').orderBy('id', 'desc').limit(limit).execute()
        return rows.map(toFile)
      })
    },

    /** What an owner holds and has reserved, by policy. */
    async usageOf (tenant: string, owner: string): Promise<Map<string, Usage>> {
      return await query(async () => {
        const rows = await database.selectFrom('usage').selectAll().where('tenant', '=', tenant).where('owner', '=', owner).execute()
        return new Map(rows.map(({ policy, files, bytes, pending }) => [policy, { files, bytes, pending }]))
      })
    }
  }
}

function usageId ({ tenant, owner, policy }: UsageKey): string {
  return JSON.stringify([tenant, owner, policy])
}

function add (usage: Usage, file: NewFile): Usage {
  return { files: usage.files + 1, bytes: usage.bytes + file.reservedBytes, pending: usage.pending + 1 }
}

/** A staging key stays in the row until its form has ended: whoever holds it can write there again. */
function readyColumns (file: VerifyingFile, { etag, sizeBytes }: Finding, now: Date) {
  return {
    status: 'ready',
    etag,
    size_bytes: sizeBytes,
    reserved_bytes: sizeBytes,
    ready_at: now.getTime(),
    next_check_at: file.stagingKey === null ? null : file.urlDeadline.getTime()
  }
}
