import { PassingFault, retry } from './retry.js'
import { UploadError, type UploadErrorCode } from './upload-error.js'

export interface Service {
  readonly baseUrl: string
  readonly token: string | (() => string | Promise<string>)
  readonly onRetry?: (fault: UploadError) => void
}

export interface Call {
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** Ends the request. */
  readonly signal?: AbortSignal | undefined
  /** Ends the tries, and lets the request that is under way come to its end. */
  readonly retrySignal?: AbortSignal | undefined
}

export interface Reply<Body> {
  readonly status: number
  readonly body: Body
  /** 0 when the service says nothing. */
  readonly retryAfterSeconds: number
}

/**
 * One request to the service, tried again while faults pass, and once with a new token when the service does not take
 * the first one.
 * @throws {UploadError}
 */
export async function callService<Body> (service: Service, method: string, path: string, call: Call = {}): Promise<Reply<Body>> {
  const { token } = service
  return await retry(async () => {
    let reply = await send(service, method, path, call)
    if (reply.status === 401 && typeof token === 'function') reply = await send(service, method, path, call)
    const retryAfterSeconds = Number(reply.headers.get('retry-after')) || 0
    // A reply that breaks off, or that is none of the service's.
    const body: unknown = await reply.json().catch(() => null)
    if (reply.ok && (body !== null || reply.status === 204)) return { status: reply.status, body: body as Body, retryAfterSeconds }

    const problem = body as { code?: UploadErrorCode, detail?: string } | null
    const error = new UploadError(problem?.code ?? 'UNEXPECTED_REPLY', reply.status, problem?.detail ?? `The service answered ${reply.status}.`, { retryAfterSeconds })
    // Without bytes there is nothing to complete: asking the same again is not enough.
    const isPassing = reply.ok || reply.status === 408 || reply.status === 429 || reply.status >= 500 || (retryAfterSeconds > 0 && error.code !== 'OBJECT_MISSING')
    throw isPassing ? new PassingFault(error) : error
  }, call.retrySignal ?? call.signal, service.onRetry)
}

async function send ({ baseUrl, token }: Service, method: string, path: string, { body, headers, signal }: Call): Promise<Response> {
  const bearer = typeof token === 'function' ? await token() : token
  signal?.throwIfAborted()
  return await fetch(baseUrl.replace(/\/+$/, '') + path, {
    method,
    headers: {
      authorization: `Bearer ${bearer}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers
    },
    // A page that is left can still give its upload up.
    keepalive: method === 'DELETE',
    ...(body !== undefined && { body: JSON.stringify(body) }),
    ...(signal && { signal })
  }).catch((cause: unknown) => {
    throw new PassingFault(new UploadError('NETWORK_ERROR', 0, 'The service cannot be reached.', { cause }))
  })
}
