import type { components, operations } from './api-types.js'
import { callService } from './call-service.js'
import { PassingFault, retry, wait } from './retry.js'
import { sendBytes } from './send-bytes.js'
import { sendParts } from './send-parts.js'
import { UploadError, type UploadErrorCode } from './upload-error.js'
import { readSlice, type UploadSource } from './upload-source.js'

export { UploadError, type UploadErrorCode, type UploadSource }

/** A file as the service knows it. */
export type UploadedFile = components['schemas']['File']
type CreateBody = operations['createUpload']['requestBody']['content']['application/json']
type UploadReply = operations['getUpload']['responses'][200]['content']['application/json']
/** How the service wants the bytes to be sent. */
export type UploadInstructions = NonNullable<UploadReply['upload']>

export interface UploadOptions {
  /** Where the service is, like `https://files.example.com`. */
  readonly baseUrl: string
  /** The user's token, or what gives one: asked before every request, and again when the service does not take it. */
  readonly token: string | (() => string | Promise<string>)
  /** The name of a policy of the service. */
  readonly policy: string
  /** The file's own name unless given. */
  readonly filename?: string
  /** The file's own type unless given. */
  readonly contentType?: string
  /** Values of your own, kept with the file. */
  readonly metadata?: CreateBody['metadata']
  /** The id of the file whose content this one will replace. */
  readonly replaces?: string
  /** One of them, in base64: the storage then refuses other bytes. A SHA-256 does not go with parts. */
  readonly checksum?: Pick<CreateBody, 'checksumSha256' | 'checksumCrc32' | 'checksumCrc32c'>
  /** Left to the service unless given. */
  readonly method?: CreateBody['method']
  /** Same key, same upload: a random one unless given. */
  readonly idempotencyKey?: string
  /** How many parts go up at a time; 4 unless given. */
  readonly concurrency?: number
  /** Goes on with an upload that was begun earlier: parts that have arrived are not sent again. */
  readonly uploadId?: string
  /** Called once the upload has an id, to keep for `uploadId`, with how the bytes will go where any have to. */
  readonly onCreated?: (file: UploadedFile, instructions?: UploadInstructions) => void
  /** Bytes that are sent, of the size of the file. Falls when something has to be sent again. */
  readonly onProgress?: (sentBytes: number, totalBytes: number) => void
  /** Called before something that failed is tried again, with what the promise would reject with otherwise. */
  readonly onRetry?: (fault: UploadError) => void
  /**
   * Gives the upload up: the promise rejects with the signal's reason, and what has arrived is deleted. A file that the
   * service has found ready in the meantime stays.
   */
  readonly signal?: AbortSignal
  /**
   * Stops the upload and keeps what has arrived: the promise rejects with the signal's reason. It goes on with `uploadId`,
   * or, where that was not known yet, with the same `idempotencyKey`.
   */
  readonly pauseSignal?: AbortSignal
}

/** The signal is that of giving up and of pausing alike. */
type RunOptions = UploadOptions & { readonly signal: AbortSignal }

const DEFAULT_CONCURRENCY = 4
/** The service says how long to wait in between: two seconds, five minutes in all. */
const COMPLETE_TRIES = 150

/**
 * Uploads a file and resolves when the service has found it to be what was promised. Lost replies, lost connections,
 * busy servers and expired URLs are tried again a bounded number of times; no fault makes a second upload. Where its
 * policy has files scanned, the file is `scanning` then, and can be downloaded once a scanner has looked at it.
 * @throws {UploadError} what the service refuses, and faults that do not pass; its `uploadId` is what to go on with
 */
export async function upload (file: UploadSource, options: UploadOptions): Promise<UploadedFile> {
  const signals = [options.signal, options.pauseSignal]
  const stopping = new AbortController()
  return await new Promise((resolve, reject) => {
    // The reason comes at once; the work ends, and is taken back, as soon as it notices.
    const stop = (): void => {
      const reason: unknown = signals.find(signal => signal?.aborted)?.reason
      stopping.abort(reason)
      reject(reason)
    }
    for (const signal of signals) {
      signal?.addEventListener('abort', stop)
      if (signal?.aborted) stop()
    }
    run(file, { ...options, signal: stopping.signal }, options.signal).then(resolve, reject).finally(() => {
      for (const signal of signals) signal?.removeEventListener('abort', stop)
    })
  })
}

async function run (file: UploadSource, options: RunOptions, cancelSignal: AbortSignal | undefined): Promise<UploadedFile> {
  const { signal, onRetry } = options
  signal.throwIfAborted()
  let id = options.uploadId
  try {
    let reply: UploadReply | undefined = id === undefined ? await create(file, options) : undefined
    if (reply) {
      id = reply.file.id
      cancelSignal?.throwIfAborted()
      options.onCreated?.(reply.file, reply.upload)
    }
    const path = `/uploads/${id}`
    return await retry(async () => {
      signal.throwIfAborted()
      // Instructions are used once: after a fault there are fresh ones, which say what has arrived.
      const { file: { sizeBytes }, upload: instructions } = reply ?? (await callService<UploadReply>(options, 'GET', path, { signal })).body
      reply = undefined
      if (instructions && (sizeBytes ?? file.size) !== file.size) throw new UploadError('OBJECT_MISMATCH', 0, 'The upload was begun with a file of another size.')
      try {
        if (instructions) await send(instructions, file, path, options)
        const uploaded = await complete(path, options)
        options.onProgress?.(file.size, file.size)
        return uploaded
      } catch (error) {
        throw error instanceof UploadError && isOvertaken(error) ? new PassingFault(error) : error
      }
    }, signal, onRetry)
  } catch (error) {
    if (id !== undefined) {
      if (cancelSignal?.aborted) await callService(options, 'DELETE', `/uploads/${id}`).catch(() => {})
      if (error instanceof UploadError) error.uploadId = id
    }
    throw error
  }
}

/** Whether the instructions were right and are no more: fresh ones tell what there is to do. */
function isOvertaken ({ code, status }: UploadError): boolean {
  return code === 'OBJECT_MISSING' || code === 'UPLOAD_ALREADY_COMPLETED' || (code === 'STORAGE_ERROR' && status === 404)
}

async function create (file: UploadSource, options: RunOptions): Promise<UploadReply> {
  const { policy, metadata, replaces, method = 'auto', checksum } = options
  const { body } = await callService<UploadReply>(options, 'POST', '/uploads', {
    headers: { 'idempotency-key': options.idempotencyKey ?? randomKey() },
    body: {
      policy,
      filename: nameOf(file, options),
      contentType: options.contentType ?? (file.type?.split(';')[0]?.trim().toLowerCase() || 'application/octet-stream'),
      sizeBytes: file.size,
      metadata,
      replaces,
      method,
      ...checksum
    } satisfies CreateBody,
    // Its reply is waited for even so: it has the id that is needed to give the upload up.
    retrySignal: options.signal
  })
  return body
}

async function send (instructions: UploadInstructions, file: UploadSource, path: string, options: RunOptions): Promise<void> {
  const { signal, concurrency = DEFAULT_CONCURRENCY } = options
  const onProgress = (bytes: number): void => options.onProgress?.(Math.round(bytes), file.size)
  if (instructions.method === 'multipart') {
    await sendParts(instructions, file, { ...options, path, concurrency, onProgress })
    return
  }
  const { method, url } = instructions
  const blob = await readSlice(file, 0, file.size)
  const content = method === 'PUT' ? { headers: instructions.headers, body: blob } : { body: renderForm(instructions.fields, blob, nameOf(file, options)) }
  await sendBytes({ method, url, ...content, signal, onProgress: fraction => onProgress(fraction * file.size) })
}

/** What comes after the file is not read by the storage, so it goes last. */
function renderForm (fields: Readonly<Record<string, string>>, blob: Blob, filename: string): FormData {
  const form = new FormData()
  for (const [name, value] of Object.entries(fields)) form.append(name, value)
  form.append('file', blob, filename)
  return form
}

async function complete (path: string, options: RunOptions): Promise<UploadedFile> {
  const { signal } = options
  for (let tries = 1; ; tries += 1) {
    const { status, body, retryAfterSeconds } = await callService<{ file: UploadedFile }>(options, 'POST', `${path}/complete`, { body: {}, signal })
    if (status !== 202) return body.file
    if (tries === COMPLETE_TRIES) throw new UploadError('UNEXPECTED_REPLY', status, 'Checking the file takes longer than expected.')
    await wait(retryAfterSeconds * 1000 || 1000, signal)
  }
}

function nameOf (file: UploadSource, { filename }: UploadOptions): string {
  return filename ?? (file.name || 'file')
}

/** 128 random bits. Unlike `crypto.randomUUID`, this is there on pages without TLS too. */
function randomKey (): string {
  return crypto.getRandomValues(new Uint32Array(4)).join('-')
}
