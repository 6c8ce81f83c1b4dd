import type { IncomingMessage } from 'node:http'

import { S3Error } from './s3-error.js'

export type QueryParameter = readonly [name: string, value: string]

/** One request as it was received, decoded once; nothing in it is trusted yet. */
export interface S3Request {
  readonly message: IncomingMessage
  readonly method: string
  /** The decoded path, dot segments and double slashes untouched: S3 does not normalise a path. */
  readonly path: string
  /** Undefined for the service itself (`GET /`). */
  readonly bucket: string | undefined
  /** Undefined when the request is for the bucket. */
  readonly key: string | undefined
  readonly query: readonly QueryParameter[]
  readonly headers: ReadonlyMap<string, readonly string[]>
  /** The host and port that the client used, for links in replies. */
  readonly host: string
  /** Tells a client that waits with `Expect: 100-continue` to send the body. */
  sendContinue (): void
}

function decode (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new S3Error('InvalidURI')
  }
}

function parseQuery (search: string): QueryParameter[] {
  return search.split('&').filter((pair) => pair !== '').map((pair) => {
    const equals = pair.indexOf('=')
    const [name, value] = equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)]
    return [decode(name.replaceAll('+', ' ')), decode(value.replaceAll('+', ' '))]
  })
}

function readHeaders (message: IncomingMessage): Map<string, readonly string[]> {
  // Node reads header bytes as latin1; S3 reads them as UTF-8.
  return new Map(Object.entries(message.headersDistinct).map(([name, values]) =>
    [name, (values ?? []).map((value) => Buffer.from(value, 'latin1').toString('utf8'))]))
}

const loopbackHost = /^(?:(?<bucket>[a-z0-9][a-z0-9.-]*)\.)?localhost(?::\d+)?$/
const loopbackAddress = /^(?:127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?$/

/**
 * The bucket of a virtual-hosted request (`bucket.localhost:9000`), undefined for path style.
 * @throws {S3Error} AccessDenied for a name that is not loopback: a page of another site cannot reach the store by DNS rebinding.
 */
function bucketOfHost (host: string): string | undefined {
  if (loopbackAddress.test(host)) return undefined
  const match = loopbackHost.exec(host.toLowerCase())
  if (match === null) throw new S3Error('AccessDenied', 'This store answers only to loopback names.')
  return match.groups?.['bucket']
}

/**
 * @throws {S3Error} InvalidURI for a path or query that is not valid percent-encoded UTF-8.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
 */
export function parseRequest (message: IncomingMessage, sendContinue: () => void): S3Request {
  const headers = readHeaders(message)
  const hosts = headers.get('host') ?? []
  if (hosts.length !== 1) throw new S3Error('BadRequest', 'Exactly one Host header is needed.')
  const host = hosts[0] ?? ''
  const target = message.url ?? '/'
  const question = target.indexOf('?')
  const path = decode(question < 0 ? target : target.slice(0, question))
  if (!path.startsWith('/')) throw new S3Error('InvalidURI')

  const hosted = bucketOfHost(host)
  const slash = path.indexOf('/', 1)
  const bucket = hosted ?? (slash < 0 ? path.slice(1) : path.slice(1, slash))
  const key = hosted !== undefined ? path.slice(1) : (slash < 0 ? '' : path.slice(slash + 1))
  return {
    message,
    method: message.method ?? 'GET',
    path,
    bucket: bucket === '' ? undefined : bucket,
    key: key === '' ? undefined : key,
    query: question < 0 ? [] : parseQuery(target.slice(question + 1)),
    headers,
    host,
    sendContinue
  }
}

/** The values of a repeated header joined as HTTP says; undefined when absent. */
export function header (request: Pick<S3Request, 'headers'>, name: string): string | undefined {
  return request.headers.get(name)?.join(',')
}

/** The first value of a query parameter; its name is compared exactly, as S3's subresources are lower case. */
export function queryValue (request: Pick<S3Request, 'query'>, name: string): string | undefined {
  return request.query.find(([found]) => found === name)?.[1]
}

/** @throws {S3Error} InvalidArgument unless the parameter is absent or a whole number in the range. */
export function queryInteger (request: Pick<S3Request, 'query'>, name: string, range: { readonly min: number, readonly max: number }): number | undefined {
  const value = queryValue(request, name)
  if (value === undefined || value === '') return undefined
  const number = Number(value)
  if (!/^\d+$/.test(value) || number < range.min || number > range.max) {
    throw new S3Error('InvalidArgument', `Argument ${name} must be an integer between ${range.min} and ${range.max}`, { ArgumentName: name, ArgumentValue: value })
  }
  return number
}
