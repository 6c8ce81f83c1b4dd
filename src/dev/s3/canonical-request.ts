import { createHash, createHmac } from 'node:crypto'

import type { QueryParameter } from './request.js'

/** Everything that a SigV4 signature covers. */
export interface SignedParts {
  readonly method: string
  readonly path: string
  readonly query: readonly QueryParameter[]
  readonly headers: ReadonlyMap<string, readonly string[]>
  /** Lower case, in the order the client listed them. */
  readonly signedHeaders: readonly string[]
  /** The value of x-amz-content-sha256, or UNSIGNED-PAYLOAD. */
  readonly payloadHash: string
}

export interface Scope {
  /** YYYYMMDD */
  readonly date: string
  readonly region: string
  readonly service: string
}

/** RFC 3986: everything but unreserved characters, byte by byte, with upper-case digits. */
export function uriEncode (text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (found) => `%${found.charCodeAt(0).toString(16).toUpperCase()}`)
}

function canonicalQuery (query: readonly QueryParameter[]): string {
  return query
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => [uriEncode(name), uriEncode(value)] as const)
    // Encoded text is ASCII, so comparing UTF-16 units is comparing bytes.
    .sort((a, b) => a[0] === b[0] ? compare(a[1], b[1]) : compare(a[0], b[0]))
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
}

function compare (a: string, b: string): number {
  return a < b ? -1 : (a > b ? 1 : 0)
}

function canonicalValue (values: readonly string[]): string {
  return values.map((value) => value.trim().replace(/ +/g, ' ')).join(',')
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html (task 1) */
export function renderCanonicalRequest (parts: SignedParts): string {
  return [
    parts.method,
    // S3 encodes the path once and never normalises it, unlike other AWS services.
    parts.path.split('/').map(uriEncode).join('/'),
    canonicalQuery(parts.query),
    ...parts.signedHeaders.map((name) => `${name}:${canonicalValue(parts.headers.get(name) ?? [])}`),
    '',
    parts.signedHeaders.join(';'),
    parts.payloadHash
  ].join('\n')
}

export function renderScope (scope: Scope): string {
  return `${scope.date}/${scope.region}/${scope.service}/aws4_request`
}

export function sha256Hex (data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}

/** `timestamp` is X-Amz-Date as the client wrote it. */
export function renderStringToSign (timestamp: string, scope: Scope, canonicalRequest: string): string {
  return ['AWS4-HMAC-SHA256', timestamp, renderScope(scope), sha256Hex(canonicalRequest)].join('\n')
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html (task 3) */
export function deriveSigningKey (secretAccessKey: string, scope: Scope): Buffer {
  return [scope.date, scope.region, scope.service, 'aws4_request'].reduce(
    (key, part) => createHmac('sha256', key).update(part).digest(),
    Buffer.from(`AWS4${secretAccessKey}`)
  )
}

export function hmacHex (key: Buffer, text: string): string {
  return createHmac('sha256', key).update(text).digest('hex')
}
