import { request } from 'node:http'

export interface Presigned { readonly method: string, readonly url: string, readonly headers: Readonly<Record<string, string>> }
export interface Sent { readonly status: number, readonly headers: Readonly<Record<string, string | string[] | undefined>>, readonly body: Buffer }

const ASK_FIRST_BYTES = 65_536
/** The status of a request whose connection the server closed while bytes were on their way. */
export const CLOSED = 0

export function isRefused ({ status }: Sent): boolean {
  return status === CLOSED || status >= 400
}

/**
 * Sends a presigned request over a plain socket: unlike `fetch`, nothing is added, renamed or refused. A length
 * other than the body's may be claimed in `headers`, and `undefined` there leaves a header out.
 */
export async function send (presigned: Presigned, body?: Uint8Array, headers: Readonly<Record<string, string | undefined>> = {}): Promise<Sent> {
  // A server that refuses a large body may close before it is sent: it is asked first, as curl does.
  const isAsked = body !== undefined && (body.length > ASK_FIRST_BYTES || headers['expect'] === '100-continue')
  const all = { ...presigned.headers, ...(body && { 'content-length': String(body.length) }), ...(isAsked && { expect: '100-continue' }), ...headers }
  const defined = Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined))
  return await new Promise((resolve, reject) => {
    const outgoing = request(presigned.url, { method: presigned.method, headers: defined, agent: false }, incoming => {
      const chunks: Buffer[] = []
      incoming.on('data', chunk => chunks.push(chunk)).on('error', reject)
        .on('end', () => resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(chunks) }))
    })
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      if (body && ['EPIPE', 'ECONNRESET'].includes(error.code ?? '')) resolve({ status: CLOSED, headers: {}, body: Buffer.alloc(0) })
      else reject(error)
    })
    if (isAsked) outgoing.once('continue', () => outgoing.end(body)).flushHeaders()
    else outgoing.end(body)
  })
}

/** The code of S3's error document, or the empty string. */
export function s3Code ({ body }: Sent): string {
  return /<Code>(\w+)<\/Code>/.exec(body.toString())?.[1] ?? ''
}
