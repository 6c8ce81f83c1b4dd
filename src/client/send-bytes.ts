import { PassingFault } from './retry.js'
import { UploadError } from './upload-error.js'

export interface Sending {
  readonly method: 'PUT' | 'POST'
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body: Blob | FormData
  readonly signal: AbortSignal | undefined
  /** Gets how much of the body is sent, from 0 to 1. */
  readonly onProgress: (fraction: number) => void
}

/** The little that is used of the browsers' XMLHttpRequest, which Node does not have. */
interface Xhr {
  readonly status: number
  readonly responseText: string
  readonly upload: {
    onprogress: ((event: { readonly loaded: number, readonly total: number }) => void) | null
    onload: (() => void) | null
  }
  onload: (() => void) | null
  onerror: (() => void) | null
  onabort: (() => void) | null
  onloadend: (() => void) | null
  open (method: string, url: string): void
  setRequestHeader (name: string, value: string): void
  send (body: Blob | FormData): void
  abort (): void
}
interface StorageReply { readonly status: number, readonly text: string }

/** A connection that died without a word would be waited for without end. */
const STALL_MS = 60_000
/** Besides 5xx: the URL has expired, the request timed out, another one for the same key was faster, too many requests. */
const PASSING_STATUSES = [403, 408, 409, 429]

/**
 * One request to the object storage. A 412 on a PUT means that an earlier try has arrived.
 * @throws {PassingFault} when it is worth being tried again, with fresh instructions
 * @throws {UploadError} when it is not
 */
export async function sendBytes (sending: Sending): Promise<void> {
  const { body, method, signal, onProgress } = sending
  signal?.throwIfAborted()
  const { status, text } = await ('XMLHttpRequest' in globalThis ? sendByXhr : sendByFetch)(sending).catch(async (cause: unknown) => {
    signal?.throwIfAborted()
    // A file that has changed or is gone looks like a lost connection; reading it throws what is the matter.
    if (body instanceof Blob) await body.slice(0, 1).arrayBuffer()
    throw new PassingFault(new UploadError('NETWORK_ERROR', 0, 'The object storage cannot be reached.', { cause }))
  })
  if ((status >= 200 && status < 300) || (status === 412 && method === 'PUT')) return onProgress(1)
  const code = /<Code>(\w+)/.exec(text)?.[1] ?? ''
  const error = new UploadError('STORAGE_ERROR', status, `The object storage answered ${status} ${code}`.trim())
  // S3 tells of a body that came too slowly with a 400.
  throw status >= 500 || PASSING_STATUSES.includes(status) || code === 'RequestTimeout' ? new PassingFault(error) : error
}

/** For browsers: fetch does not tell how much it has sent. */
async function sendByXhr ({ method, url, headers = {}, body, signal, onProgress }: Sending): Promise<StorageReply> {
  return await new Promise((resolve, reject) => {
    const xhr = new (globalThis as unknown as { XMLHttpRequest: new () => Xhr }).XMLHttpRequest()
    const stop = (): void => xhr.abort()
    let stalled: ReturnType<typeof setTimeout> | undefined
    const watch = (): void => {
      clearTimeout(stalled)
      stalled = setTimeout(stop, STALL_MS)
    }
    xhr.open(method, url)
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value)
    // From the first bytes on: before them, it may wait in the browser's queue for one of the few connections to a host.
    // One that cannot be opened the browser gives up by itself.
    xhr.upload.onload = watch
    xhr.upload.onprogress = ({ loaded, total }) => {
      watch()
      if (total > 0) onProgress(loaded / total)
    }
    xhr.onload = () => resolve({ status: xhr.status, text: xhr.responseText })
    xhr.onerror = xhr.onabort = reject
    xhr.onloadend = () => {
      clearTimeout(stalled)
      signal?.removeEventListener('abort', stop)
    }
    signal?.addEventListener('abort', stop)
    xhr.send(body)
  })
}

async function sendByFetch ({ method, url, headers = {}, body, signal }: Sending): Promise<StorageReply> {
  const reply = await fetch(url, { method, headers, body, ...(signal && { signal }) })
  return { status: reply.status, text: await reply.text() }
}
