import { sql, type Insertable, type Kysely, type Selectable, type UpdateObject } from 'kysely'
import { query } from '../database/database.js'
import type { Database, FilesTable } from '../database/schema.js'
import type { OwnerScope } from '../user.js'
import type { DeletedFile, ExpiredFile, File, FileId, FileStatus, PendingFile, ReadyFile, RejectedFile, VerifyingFile } from './file.js'
import { toFile } from './file-row.js'

export type NewFile = Omit<PendingFile, 'status' | 'version' | 'updatedAt'> & { readonly nextCheckAt: Date }

/** A position in a listing: the row after which the next page begins. */
export interface FilePosition { readonly createdAt: Date, readonly id: string }

export interface FileQuery {
  readonly tenant: string
  readonly owner: string
  readonly status: FileStatus
  readonly policy?: string
  readonly after?: FilePosition
  /** 1 to 100. */
  readonly limit: number
}

/** What a verification found; it becomes the row in one transaction. */
export interface Finding { readonly etag: string }

/**
 * All that is remembered of files. Each change of status is one conditional update: of any number of callers,
 * exactly one wins, and the others get null. Nothing here talks to S3.
 */
export type FilesRepository = ReturnType<typeof createFilesRepository>

export function createFilesRepository (database: Kysely<Database>) {
  /** Changes one row when it is still in one of these states; null when it is not, or not within the scope. */
  async function transition (id: string, from: readonly FileStatus[], set: UpdateObject<Database, 'files'>, now: Date, guard: { scope?: OwnerScope, leaseToken?: string } = {}): Promise<File | null> {
    return await query(async () => {
      let update = database.updateTable('files')
        .set({ ...set, updated_at: now.getTime(), version: sql`version + 1` })
        .where('id', '=', id).where('status', 'in', from)
      if (guard.leaseToken !== undefined) update = update.where('lease_token', '=', guard.leaseToken)
      if (guard.scope) update = update.where('tenant', '=', guard.scope.tenant)
      if (guard.scope?.owner !== undefined) update = update.where('owner', '=', guard.scope.owner)
      const row = await update.returningAll().executeTakeFirst()
      return row ? toFile(row) : null
    })
  }

  const withoutLease = { lease_token: null, lease_until: null, next_check_at: null }

  return {
    async insertPending (file: NewFile): Promise<PendingFile> {
      return await query(async () => {
        const row = await database.insertInto('files').values(newRow(file)).returningAll().executeTakeFirstOrThrow()
        return toFile(row) as PendingFile
      })
    },

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

    /** Remembers that a write URL which lives this long is about to be handed out. Never lowers the deadline. */
    async raiseUrlDeadline (id: string, deadline: Date, now: Date): Promise<PendingFile | null> {
      const later = sql<number>`case when url_deadline > ${deadline.getTime()} then url_deadline else ${deadline.getTime()} end`
      return await transition(id, ['pending'], { url_deadline: later }, now) as PendingFile | null
    },

    /** Takes the lease on a pending file, or on one whose holder let it run out. */
    async markVerifying (id: string, lease: { readonly token: string, readonly until: Date }, now: Date): Promise<VerifyingFile | null> {
      return await query(async () => {
        const row = await database.updateTable('files')
          .set({ status: 'verifying', lease_token: lease.token, lease_until: lease.until.getTime(), attempts: sql`attempts + 1`, updated_at: now.getTime(), version: sql`version + 1` })
          .where('id', '=', id)
          .where(where => where.or([where('status', '=', 'pending'), where.and([where('status', '=', 'verifying'), where('lease_until', '<', now.getTime())])]))
          .returningAll().executeTakeFirst()
        return row ? toFile(row) as VerifyingFile : null
      })
    },

    /** Gives the lease back: nothing was found, or the store could not be asked. */
    async releaseToPending (id: string, leaseToken: string, nextCheckAt: Date, now: Date): Promise<PendingFile | null> {
      const set = { ...withoutLease, status: 'pending', next_check_at: nextCheckAt.getTime() }
      return await transition(id, ['verifying'], set, now, { leaseToken }) as PendingFile | null
    },

    async markReady (id: string, leaseToken: string, finding: Finding, now: Date): Promise<ReadyFile | null> {
      return await transition(id, ['verifying'], { ...withoutLease, ...readyColumns(finding, now) }, now, { leaseToken }) as ReadyFile | null
    },

    /**
     * Makes a verified upload the content of the file that it replaces, in one transaction: the two rows swap
     * their content, and the upload's row becomes the tombstone of the old object. When the replaced file is not
     * ready any more, the upload becomes a file of its own, so that nothing is lost.
     * @returns the file that is ready now, and the tombstone whose object has to go; null when the lease is lost
     */
    async markReadyReplacing (id: string, leaseToken: string, replaces: FileId, finding: Finding, now: Date): Promise<{ ready: ReadyFile, old: DeletedFile | null } | null> {
      return await query(async () => await database.transaction().execute(async transaction => {
        const upload = await transaction.updateTable('files')
          .set({ ...withoutLease, ...readyColumns(finding, now), updated_at: now.getTime(), version: sql`version + 1` })
          .where('id', '=', id).where('status', '=', 'verifying').where('lease_token', '=', leaseToken)
          .returningAll().executeTakeFirst()
        if (!upload) return null
        const lockOld = transaction.updateTable('files').set({ version: sql`version + 1` })
          .where('id', '=', replaces).where('status', '=', 'ready').where('tenant', '=', upload.tenant).where('owner', '=', upload.owner)
        const old = await lockOld.returningAll().executeTakeFirst()
        if (!old) return { ready: toFile(upload) as ReadyFile, old: null }
        const ready = await transaction.updateTable('files')
          .set({ ...contentColumns(upload), metadata: upload.metadata === '{}' ? old.metadata : upload.metadata, updated_at: now.getTime() })
          .where('id', '=', replaces).returningAll().executeTakeFirstOrThrow()
        const tombstone = await transaction.updateTable('files')
          .set({ ...contentColumns(old), status: 'deleted', replaced_into: replaces, next_check_at: old.url_deadline, updated_at: now.getTime() })
          .where('id', '=', id).returningAll().executeTakeFirstOrThrow()
        return { ready: toFile(ready) as ReadyFile, old: toFile(tombstone) as DeletedFile }
      }))
    },

    async markRejected (id: string, leaseToken: string, reason: string, now: Date): Promise<RejectedFile | null> {
      const set = { ...withoutLease, status: 'rejected', rejected_reason: reason, next_check_at: now.getTime() }
      return await transition(id, ['verifying'], set, now, { leaseToken }) as RejectedFile | null
    },

    /** Ends an upload that has not become ready; a verification under way loses its lease. */
    async markExpired (id: string, scope: OwnerScope, now: Date): Promise<ExpiredFile | null> {
      const set = { ...withoutLease, status: 'expired', next_check_at: now.getTime() }
      return await transition(id, ['pending', 'verifying'], set, now, { scope }) as ExpiredFile | null
    },

    async markDeleted (id: string, scope: OwnerScope, now: Date): Promise<DeletedFile | null> {
      return await transition(id, ['ready'], { status: 'deleted', next_check_at: now.getTime() }, now, { scope }) as DeletedFile | null
    },

    /** Says that the object of a tombstone is gone for good: only once no write URL can bring it back. */
    async markPurged (id: string, now: Date): Promise<void> {
      await query(async () => await database.updateTable('files').set({ purged_at: now.getTime(), next_check_at: null })
        .where('id', '=', id).where('status', 'in', ['rejected', 'expired', 'deleted']).where('url_deadline', '<', now.getTime())
        .execute())
    },

    /** Changes what people may change of a file that is not a tombstone. */
    async updateDetails (id: string, scope: OwnerScope, details: { readonly filename?: string, readonly metadata?: Readonly<Record<string, string>> }, now: Date): Promise<File | null> {
      return await transition(id, ['pending', 'verifying', 'ready'], {
        ...(details.filename !== undefined && { filename: details.filename }),
        ...(details.metadata !== undefined && { metadata: JSON.stringify(details.metadata) })
      }, now, { scope })
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
    }
  }
}

function newRow (file: NewFile): Insertable<FilesTable> {
  return {
    id: file.id,
    tenant: file.tenant,
    owner: file.owner,
    policy: file.policy,
    status: 'pending',
    version: 1,
    filename: file.filename,
    content_type: file.contentType,
    size_bytes: file.sizeBytes,
    checksum_sha256: file.checksumSha256,
    visibility: file.visibility,
    bucket: file.bucket,
    object_key: file.key,
    staging_key: null,
    multipart_upload_id: null,
    etag: null,
    metadata: JSON.stringify(file.metadata),
    replaces: file.replaces,
    replaced_into: null,
    rejected_reason: null,
    url_deadline: file.urlDeadline.getTime(),
    lease_token: null,
    lease_until: null,
    next_check_at: file.nextCheckAt.getTime(),
    attempts: 0,
    purged_at: null,
    idem_key: null,
    idem_hash: null,
    created_at: file.createdAt.getTime(),
    updated_at: file.createdAt.getTime(),
    ready_at: null
  }
}

function readyColumns ({ etag }: Finding, now: Date) {
  return { status: 'ready', etag, ready_at: now.getTime() }
}

/** The columns that belong to the bytes, not to the file: what a replacement swaps. */
const CONTENT_COLUMNS = [
  'filename', 'content_type', 'size_bytes', 'checksum_sha256', 'bucket', 'object_key', 'staging_key', 'multipart_upload_id', 'etag', 'url_deadline', 'ready_at'
] as const

function contentColumns (row: Selectable<FilesTable>): Pick<Selectable<FilesTable>, typeof CONTENT_COLUMNS[number]> {
  return Object.fromEntries(CONTENT_COLUMNS.map(name => [name, row[name]])) as Pick<Selectable<FilesTable>, typeof CONTENT_COLUMNS[number]>
}
