import { sql, type Kysely, type Selectable } from 'kysely'
import { query } from '../database/database.js'
import { prepareQuery } from '../database/prepare-query.js'
import type { Database, FilesTable } from '../database/schema.js'
import { takeTurns } from '../take-turns.js'
import type { OwnerScope } from '../user.js'
import type { File, FileStatus } from './file.js'
import { isSettled, toFile } from './file-row.js'
import type { Usage } from './usage.js'

type Row = Selectable<FilesTable>

/** What nearly every request begins with: the row that it names. */
const findById = prepareQuery<{ id: string }, Row>((database, value) =>
  database.selectFrom('files').selectAll().where('id', '=', value('id')))

const findInTenant = prepareQuery<{ id: string, tenant: string }, Row>((database, value) =>
  named(database, value('id')).where('tenant', '=', value('tenant')))

const findOwn = prepareQuery<{ id: string, tenant: string, owner: string }, Row>((database, value) =>
  named(database, value('id')).where('tenant', '=', value('tenant')).where('owner', '=', value('owner')))

/**
 * The id is looked up first, which the limit sees to: PostgreSQL would search all files of the owner for it while it has no statistics of
 * the table, and goes on to for as long as it keeps the plan.
 */
function named (database: Kysely<Database>, id: string) {
  return database.selectFrom(from => from.selectFrom('files').selectAll().where('id', '=', id).limit(sql.lit(1)).as('named')).selectAll()
}

/** So is S3's. */
const findMultipartUpload = prepareQuery<{ multipartUploadId: string, key: string, tenant: string, owner: string, policy: string }, Row>((database, value) =>
  database.with(name => name('named').materialized(), query => query.selectFrom('files').selectAll().where('multipart_upload_id', '=', value('multipartUploadId')))
    .selectFrom('named').selectAll().where('object_key', '=', value('key'))
    .where('tenant', '=', value('tenant')).where('owner', '=', value('owner')).where('policy', '=', value('policy')))

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

interface ListValues extends Pick<FileQuery, 'tenant' | 'owner' | 'status' | 'policy' | 'limit'> {
  readonly createdAt: number | undefined
  readonly id: string | undefined
}

const lists = new Map<string, ReturnType<typeof prepareQuery<ListValues, Row>>>()

/** A query for each kind of list. */
function prepareList (isOfPolicy: boolean, status: FileStatus, isContinued: boolean): ReturnType<typeof prepareQuery<ListValues, Row>> {
  const hasIndex = isOfPolicy && status !== 'pending' && status !== 'verifying'
  const kind = `${isOfPolicy} ${hasIndex} ${isContinued}`
  const known = lists.get(kind)
  if (known) return known
  const prepared = prepareQuery<ListValues, Row>((database, value) => {
    let select = database.selectFrom('files').selectAll()
      .where('tenant', '=', value('tenant')).where('owner', '=', value('owner')).where('status', '=', value('status'))
    if (isOfPolicy) select = select.where('policy', '=', value('policy') as string)
    if (hasIndex) select = select.where(isSettled)
    if (isContinued) select = select.where(where => where(where.refTuple('created_at', 'id'), '<', where.tuple(value('createdAt') as number, value('id') as string)))
    return select.orderBy('created_at', 'desc').orderBy('id', 'desc').limit(value('limit'))
  })
  lists.set(kind, prepared)
  return prepared
}

/** What requests ask of the rows, and change nothing by. */
export function createFileQueries (database: Kysely<Database>) {
  async function first (rows: Promise<readonly Row[]>): Promise<File | null> {
    return await query(async () => {
      const [row] = await rows
      return row ? toFile(row) : null
    })
  }

  return {
    /** One query, whether the id is unknown or someone else's: the two cannot be told apart. */
    async find (id: string, scope: OwnerScope): Promise<File | null> {
      const { tenant, owner } = scope
      return await first(owner === undefined ? findInTenant(database, { id, tenant }) : findOwn(database, { id, tenant, owner }))
    },

    /**
     * The row of a multipart upload by the names that S3 knows it by: one query, whatever is wrong with them. Only
     * its owner's, under this policy.
     */
    async findByMultipartUpload ({ tenant, owner }: { readonly tenant: string, readonly owner: string }, policy: string, multipartUploadId: string, key: string): Promise<File | null> {
      return await first(findMultipartUpload(database, { multipartUploadId, key, tenant, owner, policy }))
    },

    /** For downloads, whose visibility may reach beyond the owner. Any tenant: the caller decides. */
    async findOfAnyOwner (id: string): Promise<File | null> {
      return await first(findById(database, { id }))
    },

    /** What earlier requests with these idempotency keys of one owner have made, by key. */
    async findByIdempotencyKeys (tenant: string, owner: string, keys: readonly string[]): Promise<Map<string, { readonly file: File, readonly hash: string }>> {
      return await query(async () => {
        const rows = await database.selectFrom('files').selectAll()
          .where('tenant', '=', tenant).where('owner', '=', owner).where('idem_key', 'in', keys).execute()
        return new Map(rows.map(row => [row.idem_key ?? '', { file: toFile(row), hash: row.idem_hash ?? '' }]))
      })
    },

    /** Newest first, by keyset: a page costs the same at any depth. */
    async list ({ tenant, owner, status, policy, after, limit }: FileQuery): Promise<File[]> {
      return await query(async () => {
        const list = prepareList(policy !== undefined, status, after !== undefined)
        const wait = takeTurns()
        const rows = await list(database, { tenant, owner, status, policy, createdAt: after?.createdAt.getTime(), id: after?.id, limit })
        const files: File[] = []
        for (const row of rows) {
          await wait()
          files.push(toFile(row))
        }
        return files
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
