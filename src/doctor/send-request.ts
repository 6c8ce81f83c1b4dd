import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'

export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  /** S3's code of the refusal, or the empty string. */
  readonly code: string
  readonly body: Buffer
}

const TIMEOUT_MS = 30_000
/** Objects of probes, their listings and errors of S3 are smaller by far. */
const MAX_REPLY_BYTES = 1024 ** 2

/**
 * Sends a request as it is over a plain connection: unlike `fetch`, nothing is added, kept back or corrected.
 * @throws the network's error when nobody answers, and an error for a fault of the store (5xx, but 501)
 */
export async function sendRequest ({ method, url, headers = {} }: { readonly method: string, readonly url: string, readonly headers?: Readonly<Record<string, string>> }, body?: Uint8Array): Promise<Reply> {
  const request = url.startsWith('https:') ? httpsRequest : httpRequest
  const reply = await new Promise<Reply>((resolve, reject) => {
    const outgoing = request(url, { method, headers: { ...headers, ...(body && { 'content-length': String(body.length) }) }, agent: false, signal: AbortSignal.timeout(TIMEOUT_MS) }, incoming => {
      const chunks: Buffer[] = []
      let sizeBytes = 0
      incoming.on('data', (chunk: Buffer) => {
        sizeBytes += chunk.length
        if (sizeBytes > MAX_REPLY_BYTES) incoming.destroy(new Error('the reply is too long'))
        chunks.push(chunk)
      }).on('error', reject).on('end', () => {
        const received = Buffer.concat(chunks)
        resolve({ status: incoming.statusCode ?? 0, headers: flatten(incoming.headers), code: /<Code>(\w+)<\/Code>/.exec(received.toString())?.[1] ?? '', body: received })
      })
    })
    // Also when the connection breaks: that is no refusal, and must not look like one.
    outgoing.on('error', reject).end(body)
  })
  if (reply.status >= 500 && reply.status !== 501) throw new Error('the store is at fault', { cause: Object.assign(new Error(), { code: reply.code || String(reply.status) }) })
  return reply
}

export function isRefused ({ status }: Reply): boolean {
  return status >= 400
}

/** What a store said when it refused, in a word. */
export function describeReply ({ status, code }: Reply): string {
  return code || String(status)
}

function flatten (headers: NodeJS.Dict<string | string[]>): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]))
}
