import { randomUUID } from 'node:crypto'
import { openDatabase } from '../src/database/database.js'
import { migrate } from '../src/database/migrate.js'
import type { Database } from '../src/database/schema.js'
import type { FileId } from '../src/files/file.js'
import { newRow, type NewFile } from '../src/files/file-row.js'
import type { ObjectKey } from '../src/policies/object-key.js'
import type { Insertable } from 'kysely'
import type { Load } from './load.js'
import { BUCKET, OWNER, UPLOAD } from './servers.js'

/** One kind of request, as it is repeated. */
export interface Operation {
  readonly label: string
  /** What one request brings: files, URLs or rows. */
  readonly items: number
  readonly request: Pick<Load, 'method' | 'path' | 'body' | 'status'>
  /** @throws when a reply does not hold what it should */
  check (body: string): void
}

const LISTED = 50
const FILES = 1000
const PARTS = 100
const PART_BYTES = 5 * 1024 ** 2
/** The id of a file that is ready. */
export const ready = randomUUID()
const parted = { id: randomUUID(), multipartUploadId: 'an-upload-in-parts' }
const uppy = { id: randomUUID(), multipartUploadId: 'an-upload-of-uppy' }
const keyOf = (id: string): ObjectKey => `pictures/${OWNER}/${id}.png` as ObjectKey
export const upload = { policy: 'pictures', ...UPLOAD }

const post = (path: string, body: unknown) => ({ method: 'POST', path, body: JSON.stringify(body) })
const get = (path: string) => ({ method: 'GET', path })
/** What the replies of all of them can have. */
interface Reply {
  readonly url?: string
  readonly file?: { readonly id: string }
  readonly upload?: { readonly url: string }
  readonly download?: { readonly url: string }
  readonly parts?: readonly unknown[]
  readonly data?: ReadonlyArray<Pick<Reply, 'upload'>>
}
const count = (list: (reply: Reply) => readonly unknown[] | undefined, expected: number) => (body: string): void => {
  const length = list(JSON.parse(body) as Reply)?.length
  if (length !== expected) throw new Error(`A reply holds ${length} and not ${expected}: ${body.slice(0, 200)}`)
}
const has = (find: (reply: Reply) => unknown) => (body: string): void => {
  if (!find(JSON.parse(body) as Reply)) throw new Error(`A reply lacks what was asked for: ${body.slice(0, 200)}`)
}
/** A redirect says all in its headers. */
const hasNothing = (body: string): void => {
  if (body !== '') throw new Error(`A redirect holds more than was asked for: ${body.slice(0, 200)}`)
}

/** The URL of one part, in the way of Uppy's clients. */
export const uppyPart = get(`/uppy/pictures/s3/multipart/${uppy.multipartUploadId}/1?key=${encodeURIComponent(keyOf(uppy.id))}`)

/** One file, and several at once. */
export const CREATES: readonly [Operation, ...Operation[]] = [
  { label: '`POST /uploads`', items: 1, request: post('/uploads', upload), check: has(reply => reply.upload?.url) },
  { label: '`POST /uploads/batch` with 10', items: 10, request: post('/uploads/batch', { uploads: Array.from({ length: 10 }, () => upload) }), check: count(reply => reply.data?.filter(({ upload }) => upload?.url), 10) },
  { label: '`POST /uploads/batch` with 100', items: 100, request: post('/uploads/batch', { uploads: Array.from({ length: 100 }, () => upload) }), check: count(reply => reply.data?.filter(({ upload }) => upload?.url), 100) }
]

export const OPERATIONS: readonly Operation[] = [
  ...CREATES,
  { label: '`POST /uploads/{id}/parts`, 100 URLs', items: PARTS, request: post(`/uploads/${parted.id}/parts`, { partNumbers: Array.from({ length: PARTS }, (_, index) => index + 1) }), check: count(reply => reply.parts, PARTS) },
  { label: 'URL of a part for Uppy', items: 1, request: uppyPart, check: has(reply => reply.url) },
  { label: 'form for Uppy, `/s3/params`', items: 1, request: get(`/uppy/forms/s3/params?${new URLSearchParams({ filename: UPLOAD.filename, type: UPLOAD.contentType })}`), check: has(reply => reply.url) },
  { label: '`POST /downloads`', items: 1, request: post('/downloads', { fileId: ready }), check: has(reply => reply.download?.url) },
  { label: '`GET /downloads/{id}`', items: 1, request: { ...get(`/downloads/${ready}`), status: 307 }, check: hasNothing },
  { label: '`GET /files/{id}`', items: 1, request: get(`/files/${ready}`), check: has(reply => reply.file?.id === ready) },
  { label: `\`GET /files\`, ${LISTED} of ${FILES}`, items: LISTED, request: get(`/files?limit=${LISTED}`), check: count(reply => reply.data, LISTED) }
]

/** A database that has what these requests ask for. */
export async function seed (databaseUrl: string): Promise<void> {
  const database = openDatabase(databaseUrl, { onError: () => {} })
  try {
    await migrate(database)
    const now = new Date()
    const row = (id: string, method: NewFile['method'], change: Partial<Insertable<Database['files']>>): Insertable<Database['files']> => ({
      ...newRow({
        status: 'pending',
        id: id as FileId,
        tenant: '',
        owner: OWNER,
        policy: 'pictures',
        filename: UPLOAD.filename,
        contentType: UPLOAD.contentType,
        method,
        sizeBytes: UPLOAD.sizeBytes,
        reservedBytes: UPLOAD.sizeBytes,
        partSizeBytes: null,
        checksum: null,
        visibility: 'private',
        bucket: BUCKET,
        key: keyOf(id),
        stagingKey: null,
        metadata: {},
        replaces: null,
        urlDeadline: new Date(now.getTime() + 3_600_000),
        nextCheckAt: new Date(now.getTime() + 3_600_000),
        multipartUploadId: null,
        version: 1,
        attempts: 0,
        createdAt: now,
        updatedAt: now,
        idempotency: null
      }),
      ...change
    })
    const settled = { status: 'ready', etag: '"e"', ready_at: now.getTime(), next_check_at: null }
    const rows = [
      row(parted.id, 'multipart', { multipart_upload_id: parted.multipartUploadId, size_bytes: PARTS * PART_BYTES, reserved_bytes: PARTS * PART_BYTES, part_size_bytes: PART_BYTES }),
      row(uppy.id, 'multipart', { multipart_upload_id: uppy.multipartUploadId }),
      row(ready, 'PUT', settled),
      ...Array.from({ length: FILES - 1 }, () => row(randomUUID(), 'PUT', settled))
    ]
    for (let begin = 0; begin < rows.length; begin += 100) await database.insertInto('files').values(rows.slice(begin, begin + 100)).execute()
  } finally {
    await database.destroy()
  }
}
