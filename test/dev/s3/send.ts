import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'

import type { TestS3 } from '../../helpers/s3.js'
import { objectTarget, signWithHeader, signWithQuery, type HeaderSigning, type QuerySigning, type WireRequest } from '../../helpers/sigv4.js'

export interface WireResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string
  /** The code of S3's error document, undefined on success and for HEAD. */
  readonly code: string | undefined
}

/** The text of the first element of this name in a document. */
export function element (document: string, name: string): string | undefined {
  return new RegExp(`<${name}>([^<]*)</${name}>`).exec(document)?.[1]
}

export function hostOf (endpoint: string): string {
  return new URL(endpoint).host
}

/** Sends the bytes as they are: no header is added but content-length for a body, and the target is not normalised. */
export async function send (endpoint: string, { method, target, headers, body }: WireRequest): Promise<WireResponse> {
  const { hostname, port } = new URL(endpoint)
  const length = body === undefined || 'transfer-encoding' in headers || 'content-length' in headers ? {} : { 'content-length': String(Buffer.byteLength(body)) }
  const outgoing = httpRequest({ hostname, port, method, path: target, headers: { ...headers, ...length }, agent: false })
  outgoing.end(body)
  const [response] = await once(outgoing, 'response') as [IncomingMessage]
  const received = await text(response)
  return {
    status: response.statusCode ?? 0,
    headers: Object.fromEntries(Object.entries(response.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(',') : value])),
    body: received,
    code: received.includes('<Error>') ? element(received, 'Code') : undefined
  }
}

/** Writes text to the server's socket, ends the sending side, and returns all that came back. */
export async function sendText (endpoint: string, request: string): Promise<string> {
  const { hostname, port } = new URL(endpoint)
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
  socket.end(request)
  return await text(socket)
}

export interface Sending {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  readonly query?: string
}

/** A path-style request without a signature. */
export function requestFor (s3: TestS3, method: string, bucket: string, key: string, { headers = {}, body, query }: Sending = {}): WireRequest {
  const path = key === '' ? `/${bucket}` : objectTarget(bucket, key)
  return { method, target: query === undefined ? path : `${path}?${query}`, headers: { host: hostOf(s3.endpoint), ...headers }, ...(body === undefined ? {} : { body }) }
}

/** Signs in the Authorization header and sends. */
export async function sendSigned (s3: TestS3, request: WireRequest, signing: Partial<HeaderSigning> = {}): Promise<WireResponse> {
  return await send(s3.endpoint, signWithHeader(request, s3.credentials, { at: new Date(), ...signing }))
}

export function presign (s3: TestS3, request: WireRequest, signing: Partial<QuerySigning> = {}): WireRequest {
  return signWithQuery(request, s3.credentials, { at: new Date(), ...signing })
}
