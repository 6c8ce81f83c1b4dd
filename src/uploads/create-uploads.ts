import { createHash } from 'node:crypto'
import { ApiError } from '../errors.js'
import type { File, LivingFile, PendingFile } from '../files/file.js'
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
  /** Keeps the keys of single requests and of batches apart. */
  readonly space?: 'single' | 'batch'
}

export interface CreatedUpload {
  readonly file: LivingFile
  /** Left out once nothing is left to send, and for parts that the client cuts as it likes. */
  readonly upload?: Awaited<ReturnType<typeof signInstructions>>
  /** Whether an earlier request with the same idempotency key has made it. */
  readonly isReplayed: boolean
}

/**
 * Creates uploads in one transaction, each answering for itself. No URL leaves without its committed row. With
 * an idempotency key, what an earlier request has made is found again, with fresh URLs; rights and policy are
 * checked anew.
 * @throws {ApiError} IDEMPOTENCY_KEY_REUSED: this key came with another request
 */
export async function createUploads (services: Services, user: User, bodies: readonly CreateUploadBody[], { idempotencyKey, space = 'single', ...origin }: CreateOptions = {}): Promise<Array<CreatedUpload | ApiError>> {
  const wait = takeTurns()
  const hash = idempotencyKey === undefined ? '' : fingerprint(bodies)
  // All that a batch could have made, so that a shorter one is not taken for a new one.
  const keys = Array.from({ length: idempotencyKey === undefined ? 0 : space === 'batch' ? MAX_BATCH_UPLOADS : 1 }, (_, index) => `${space}/${index}/${idempotencyKey}`)
  const prepared = await settle(bodies, wait, async (body, index) => await prepareUpload(services, user, body, idempotencyKey === undefined ? null : { key: keys[index] as string, hash }, origin))
  const earlier = idempotencyKey === undefined ? new Map() : await findEarlier(services, user, prepared, keys, hash)

  const fresh = prepared.filter((item): item is Exclude<typeof item, ApiError> => !(item instanceof ApiError) && !earlier.has(item.file.idempotency?.key ?? ''))
  const inserted = new Map<NewFile, Inserted>()
  if (fresh.length > 0) {
    const outcomes = await services.files.insertPending(fresh)
    for (const [index, { file }] of fresh.entries()) {
      const result = outcomes[index] as Inserted
      inserted.set(file, result)
      if (result.outcome === 'inserted') services.metrics.upload(file.policy, 'created')
    }
  }
  // A request with the same key was faster by a moment: it has made the row, or filled the quota.
  const isRaced = idempotencyKey !== undefined && [...inserted.values()].some(({ outcome }) => outcome !== 'inserted')
  const raced = isRaced ? await findEarlier(services, user, prepared, keys, hash) : new Map<string, File>()

  return await settle(prepared, wait, async item => {
    if (item instanceof ApiError) throw item
    const key = item.file.idempotency?.key ?? ''
    const known = earlier.get(key) ?? raced.get(key)
    const result = inserted.get(item.file)
    if (result?.outcome === 'inserted') return await begin(services, result.file, item.file)
    if (known) return { ...await getUpload(services, user, known.id), isReplayed: true }
    throw quotaExceeded(item.file.policy, result)
  })
}

/**
 * Signs for a new row. When that fails, a row with an idempotency key waits for the request to come again; any
 * other ends, and its quota is given back: nobody knows of it.
 */
async function begin (services: Services, file: PendingFile, { createdAt, idempotency }: NewFile): Promise<CreatedUpload> {
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

/** One after the other, each failing alone. On SQLite nothing here waits for anything. */
async function settle<Item, Result> (items: readonly Item[], wait: () => Promise<void>, run: (item: Item, index: number) => Promise<Result>): Promise<Array<Result | ApiError>> {
  const results: Array<Result | ApiError> = []
  for (const [index, item] of items.entries()) {
    if (items.length > 1) await wait()
    try {
      results.push(await run(item, index))
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      results.push(error)
    }
  }
  return results
}

/** The same for the same request, in whatever order its fields came. */
function fingerprint (bodies: readonly CreateUploadBody[]): string {
  return createHash('sha256').update(JSON.stringify(bodies, (_, value: unknown) => isRecord(value) ? Object.fromEntries(Object.entries(value).sort(([left], [right]) => left < right ? -1 : 1)) : value)).digest('base64')
}

function isRecord (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
