import { createHash } from 'node:crypto'
import { ApiError } from '../errors.js'
import type { File, LivingFile } from '../files/file.js'
import type { NewFile } from '../files/file-row.js'
import type { Inserted } from '../files/insert-pending.js'
import { purgeObject } from '../files/purge-object.js'
import { runInBackground, type Services } from '../services.js'
import { takeTurns } from '../take-turns.js'
import type { User } from '../user.js'
import { beginMultipart } from './begin-multipart.js'
import { getUpload } from './get-upload.js'
import { prepareUpload, type Origin } from './prepare-upload.js'
import { MAX_BATCH_UPLOADS, type CreateUploadBody } from './schemas.js'
import { signInstructions } from './upload-instructions.js'
import { hasClientParts } from './upload-parts.js'

export interface CreateOptions extends Origin {
  readonly idempotencyKey?: string | undefined
}

export interface CreatedUpload {
  readonly file: LivingFile
  /** Left out once nothing is left to send, and for parts that the client cuts as it likes. */
  readonly upload?: Awaited<ReturnType<typeof signInstructions>>
  /** Whether an earlier request with the same idempotency key has made it. */
  readonly isReplayed: boolean
}

/**
 * Creates an upload. No URL leaves without its committed row. With an idempotency key, what an earlier request has made is
 * found again, with a fresh URL; rights and policy are checked anew.
 * @throws {ApiError} what `prepareUpload` throws; QUOTA_EXCEEDED; IDEMPOTENCY_KEY_REUSED: this key came with another request
 */
export async function createUpload (services: Services, user: User, body: CreateUploadBody, options: CreateOptions = {}): Promise<CreatedUpload> {
  if (options.idempotencyKey !== undefined) {
    const { items, finish } = await insertUploads(services, user, [body], 'single', options)
    return await finish(items[0] as typeof items[number])
  }
  const upload = await prepareUpload(services, user, body, null, options)
  const [result] = await services.files.insertPending([upload])
  count(services, upload.file, result)
  return await begin(services, upload.file, result)
}

/** How many uploads of a batch S3 is asked for at the same time, and how many signed ones wait to be sent. */
const MAX_AHEAD = 4

/**
 * Creates uploads in one transaction, each answering for itself. They are begun and signed only as they are asked for, in
 * their order: a hundred in parts are megabytes of URLs. Whoever stops asking leaves the others pending, as if nobody had heard the answer.
 * @throws {ApiError} IDEMPOTENCY_KEY_REUSED: this key came with another request
 */
export async function createBatch (services: Services, user: User, bodies: readonly CreateUploadBody[], options: CreateOptions): Promise<{ readonly isReplayed: boolean, readonly uploads: AsyncIterable<CreatedUpload | ApiError> }> {
  const { items, isReplayed, finish } = await insertUploads(services, user, bodies, 'batch', options)
  async function * finishInOrder (): AsyncGenerator<CreatedUpload | ApiError> {
    const wait = takeTurns()
    const underWay: Array<Promise<CreatedUpload | ApiError>> = []
    for (const item of items) {
      await wait()
      const upload = failAlone(finish(item))
      // Whether it fails is asked when it is its turn, if ever.
      upload.catch(() => {})
      underWay.push(upload)
      if (underWay.length === MAX_AHEAD) yield await (underWay.shift() as typeof upload)
    }
    yield * underWay
  }
  return { isReplayed, uploads: finishInOrder() }
}

/**
 * The rows of new uploads. `finish` has to be called for each item to answer for it.
 * @param space keeps the idempotency keys of single requests and of batches apart
 */
async function insertUploads (services: Services, user: User, bodies: readonly CreateUploadBody[], space: 'single' | 'batch', { idempotencyKey, ...origin }: CreateOptions) {
  const hash = idempotencyKey === undefined ? '' : fingerprint(bodies)
  // All that a batch could have made, so that a shorter one is not taken for a new one.
  const keys = Array.from({ length: idempotencyKey === undefined ? 0 : space === 'batch' ? MAX_BATCH_UPLOADS : 1 }, (_, index) => `${space}/${index}/${idempotencyKey}`)
  const wait = takeTurns()
  const items: Array<Awaited<ReturnType<typeof prepareUpload>> | ApiError> = []
  for (const [index, body] of bodies.entries()) {
    await wait()
    items.push(await failAlone(prepareUpload(services, user, body, idempotencyKey === undefined ? null : { key: keys[index] as string, hash }, origin)))
  }
  const earlier = idempotencyKey === undefined ? new Map<string, File>() : await findEarlier(services, user, items, keys, hash)

  const fresh = items.filter((item): item is Exclude<typeof item, ApiError> => !(item instanceof ApiError) && !earlier.has(item.file.idempotency?.key ?? ''))
  const inserted = new Map<NewFile, Inserted>()
  if (fresh.length > 0) {
    const outcomes = await services.files.insertPending(fresh)
    for (const [index, { file }] of fresh.entries()) {
      inserted.set(file, outcomes[index] as Inserted)
      count(services, file, outcomes[index])
    }
  }
  // A request with the same key was faster by a moment: it has made the row, or filled the quota.
  const isRaced = idempotencyKey !== undefined && [...inserted.values()].some(({ outcome }) => outcome !== 'inserted')
  const raced = isRaced ? await findEarlier(services, user, items, keys, hash).catch(takeBack) : new Map<string, File>()

  /** Of two batches with one key, the one that came second may be the longer one: what it has made beyond the other would keep the key from it. */
  async function takeBack (error: unknown): Promise<never> {
    if (!(error instanceof ApiError && error.code === 'IDEMPOTENCY_KEY_REUSED')) throw error
    for (const [{ id, tenant, owner }, { outcome }] of inserted) {
      if (outcome === 'inserted') await services.files.markExpired(id, { tenant, owner }, services.now(), { forgetsKey: true })
    }
    throw error
  }

  function findKnown ({ file }: typeof fresh[number]): File | undefined {
    const key = file.idempotency?.key ?? ''
    return inserted.get(file)?.outcome === 'inserted' ? undefined : earlier.get(key) ?? raced.get(key)
  }

  return {
    items,
    isReplayed: items.some(item => !(item instanceof ApiError) && findKnown(item)),
    async finish (item: typeof items[number]): Promise<CreatedUpload> {
      if (item instanceof ApiError) throw item
      const known = findKnown(item)
      if (known) return { ...await getUpload(services, user, known.id), isReplayed: true }
      return await begin(services, item.file, inserted.get(item.file))
    }
  }
}

function count ({ metrics }: Services, { policy }: NewFile, result: Inserted | undefined): void {
  if (result?.outcome === 'inserted') metrics.upload(policy, 'created')
}

/**
 * Signs for a new row. When that fails, a row with an idempotency key waits for the request to come again; any
 * other ends, and its quota is given back: nobody knows of it.
 */
async function begin (services: Services, { policy, createdAt, idempotency }: NewFile, result: Inserted | undefined): Promise<CreatedUpload> {
  if (result?.outcome !== 'inserted') throw quotaExceeded(policy, result)
  const { file } = result
  try {
    const begun = file.method === 'multipart' ? await beginMultipart(services, file, null) : file
    if (!begun || hasClientParts(begun)) return { file: begun ?? file, isReplayed: false }
    return { file: begun, upload: await signInstructions(services, begun, createdAt), isReplayed: false }
  } catch (error) {
    const expired = idempotency === null ? await services.files.markExpired(file.id, file, services.now()) : null
    // The client is told at once: a store that hangs would keep it waiting for this, too.
    if (expired) runInBackground(services, purgeObject(services, expired))
    throw error
  }
}

async function findEarlier (services: Services, user: User, prepared: ReadonlyArray<{ file: NewFile } | ApiError>, keys: readonly string[], hash: string): Promise<Map<string, File>> {
  // An administrator who replaces another owner's file acts in that owner's name.
  const owners = new Set([user.owner, ...prepared.flatMap(item => item instanceof ApiError ? [] : [item.file.owner])])
  const found = new Map<string, File>()
  for (const owner of owners) {
    for (const [key, earlier] of await services.files.findByIdempotencyKeys(user.tenant, owner, keys)) {
      if (earlier.hash !== hash) throw new ApiError('IDEMPOTENCY_KEY_REUSED', 'This Idempotency-Key came with another request before. Use a new one for a new request.')
      found.set(key, earlier.file)
    }
  }
  return found
}

/** What a client hears when a limit is reached. */
export function quotaExceeded (policy: string, result: Inserted | undefined): ApiError {
  const limit = result?.outcome === 'exceeded' ? result.limit : 'files'
  if (limit === 'ticket') return new ApiError('QUOTA_EXCEEDED', 'The upload ticket is used up, or would be by this file: ask for a new one.')
  const held = { files: 'files', bytes: 'bytes', pending: 'uploads that are not complete' }[limit]
  return new ApiError('QUOTA_EXCEEDED', `The quota of the policy "${policy}" for ${held} is used up. GET /usage tells what is held.`)
}

async function failAlone<Result> (result: Promise<Result>): Promise<Result | ApiError> {
  try {
    return await result
  } catch (error) {
    if (error instanceof ApiError) return error
    throw error
  }
}

/** The same for the same request, in whatever order its fields came. */
function fingerprint (bodies: readonly CreateUploadBody[]): string {
  return createHash('sha256').update(JSON.stringify(bodies, (_, value: unknown) => isRecord(value) ? Object.fromEntries(Object.entries(value).sort(([left], [right]) => left < right ? -1 : 1)) : value)).digest('base64')
}

function isRecord (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
