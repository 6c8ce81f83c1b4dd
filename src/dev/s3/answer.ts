import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import { corsHeaders, preflight } from './cors.js'
import type { Reply } from './operation.js'
import { openPayload } from './payload.js'
import { isPostForm, postObject } from './post-object.js'
import { parseRequest, type S3Request } from './request.js'
import { runOperation } from './route.js'
import { S3Error } from './s3-error.js'
import type { Store } from './store.js'
import { verifySignature, withHoistedHeaders, type Verifier } from './verify-signature.js'
import { renderErrorXml } from './xml.js'

export interface Answering {
  readonly store: Store
  readonly verifier: Verifier
}

export interface Exchange {
  readonly message: IncomingMessage
  readonly response: ServerResponse
  sendContinue (): void
}

async function reply ({ store, verifier }: Answering, request: S3Request): Promise<Reply> {
  const bucket = request.bucket === undefined ? undefined : store.buckets.get(request.bucket)
  if (request.method === 'OPTIONS') return preflight(request, bucket)
  if (isPostForm(request)) return await postObject(store.getBucket(request.bucket ?? ''), request, verifier)
  const verified = verifySignature(request, verifier)
  const trusted = withHoistedHeaders(request)
  return await runOperation({ store, region: verifier.region, request: trusted, payload: openPayload(trusted, verified), now: verifier.now() })
}

function toS3Error (error: unknown): S3Error {
  if (error instanceof S3Error) return error
  // Nobody reads a log of the store: what broke in it must be seen where it runs.
  console.error(error)
  return new S3Error('InternalError')
}

function renderError (error: S3Error, requestId: string, resource: string): Reply {
  const body = renderErrorXml({ Code: error.code, Message: error.message, ...error.details, Resource: resource, RequestId: requestId, HostId: 'dev' })
  return { status: error.status, headers: error.code === 'MethodNotAllowed' ? { allow: 'GET, HEAD, PUT, POST, DELETE, OPTIONS' } : {}, body }
}

async function send ({ message, response }: Exchange, { status, headers = {}, body }: Reply, common: Record<string, string>): Promise<void> {
  const isText = typeof body === 'string'
  response.writeHead(status, {
    ...common,
    ...(isText ? { 'content-type': 'application/xml', 'content-length': String(Buffer.byteLength(body)) } : {}),
    ...(body === undefined && status !== 204 && status !== 304 ? { 'content-length': '0' } : {}),
    ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, Buffer.from(value).toString('latin1')]))
  })
  if (body === undefined || (isText && message.method === 'HEAD')) response.end()
  else if (isText) response.end(body)
  else await pipeline(Readable.from(body), response)
}

/** Answers one request; never rejects. */
export async function answer (answering: Answering, exchange: Exchange): Promise<void> {
  const requestId = randomBytes(8).toString('hex').toUpperCase()
  const common: Record<string, string> = {
    'x-amz-request-id': requestId,
    'x-amz-id-2': 'dev',
    server: 'AmazonS3-compatible development store',
    date: answering.verifier.now().toUTCString()
  }
  const { message } = exchange
  // A client that goes away is noticed where its bytes are read.
  message.on('error', () => {})
  let result: Reply
  try {
    const request = parseRequest(message, exchange.sendContinue)
    Object.assign(common, corsHeaders(request, request.bucket === undefined ? undefined : answering.store.buckets.get(request.bucket)))
    result = await reply(answering, request)
  } catch (error) {
    result = renderError(toS3Error(error), requestId, message.url?.split('?')[0] ?? '/')
  }
  try {
    await send(exchange, result, common)
  } catch {
    // The client went away, or the disk failed behind a status that is already sent: all that is left is to cut the connection.
    exchange.response.destroy()
  }
  // Whatever of the body nobody wanted must be read, or the next request on this connection would never be.
  message.resume()
}
