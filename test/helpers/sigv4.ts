import { createHash, createHmac } from 'node:crypto'

/**
 * Signature Version 4 written from AWS's pages for tests: it shares no code with the service, the SDK or the embedded store.
 * Paths and queries are taken as they stand on the wire, so a test can sign what no library would.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
 */
export interface Signer {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly region?: string
  readonly service?: string
}

/** A request as it goes over the wire. */
export interface WireRequest {
  readonly method: string
  /** Encoded path and query, for instance `/bucket/a%20b?uploads=`. */
  readonly target: string
  /** Lower-case names, with `host`. */
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | Buffer
}

export const unsignedPayload = 'UNSIGNED-PAYLOAD'

export function sha256Hex (data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex')
}

function hmac (key: string | Buffer, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest()
}

/** 20130524T000000Z */
export function formatTimestamp (date: Date): string {
  return date.toISOString().slice(0, 19).replace(/[-:]/g, '') + 'Z'
}

/** RFC 3986 unreserved characters stay. */
export function percentEncode (text: string): string {
  return [...Buffer.from(text)].map((byte) => /[A-Za-z0-9._~-]/.test(String.fromCharCode(byte))
    ? String.fromCharCode(byte)
    : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('')
}

/** The path of a key in path style. */
export function objectTarget (bucket: string, key: string): string {
  return `/${bucket}/${key.split('/').map(percentEncode).join('/')}`
}

interface Stamp {
  readonly timestamp: string
  readonly date: string
  readonly region: string
  readonly service: string
}

function stampOf (signer: Signer, at: Date): Stamp {
  const timestamp = formatTimestamp(at)
  return { timestamp, date: timestamp.slice(0, 8), region: signer.region ?? 'us-east-1', service: signer.service ?? 's3' }
}

function scopeOf ({ date, region, service }: Stamp): string {
  return `${date}/${region}/${service}/aws4_request`
}

function keyOf (secretAccessKey: string, { date, region, service }: Stamp): Buffer {
  return hmac(hmac(hmac(hmac('AWS4' + secretAccessKey, date), region), service), 'aws4_request')
}

/** Exported so that tests can hold it against AWS's published examples. */
export function canonicalRequest ({ method, target, headers }: WireRequest, signedHeaders: readonly string[], payloadHash: string): string {
  const [path = '', query = ''] = target.split(/\?(.*)/s)
  const pairs = query.split('&').filter((pair) => pair !== '').map((pair) => pair.includes('=') ? pair : `${pair}=`).sort()
  const lines = signedHeaders.map((name) => `${name}:${(headers[name] ?? '').trim().replace(/\s+/g, ' ')}\n`).join('')
  return `${method}\n${path}\n${pairs.join('&')}\n${lines}\n${signedHeaders.join(';')}\n${payloadHash}`
}

function signatureOf (secretAccessKey: string, stamp: Stamp, canonical: string): string {
  const stringToSign = `AWS4-HMAC-SHA256\n${stamp.timestamp}\n${scopeOf(stamp)}\n${sha256Hex(canonical)}`
  return hmac(keyOf(secretAccessKey, stamp), stringToSign).toString('hex')
}

export interface HeaderSigning {
  readonly at: Date
  /** The hash of the body unless given. */
  readonly payloadHash?: string
  /** host, content-type and every x-amz-* header unless given. */
  readonly signedHeaders?: readonly string[]
}

function defaultSignedHeaders (headers: Readonly<Record<string, string>>): string[] {
  return Object.keys(headers).filter((name) => name === 'host' || name === 'content-type' || name === 'content-md5' || name.startsWith('x-amz-')).sort()
}

/** Adds x-amz-date, x-amz-content-sha256 and Authorization. */
export function signWithHeader (request: WireRequest, signer: Signer, signing: HeaderSigning): WireRequest {
  const stamp = stampOf(signer, signing.at)
  const payloadHash = signing.payloadHash ?? sha256Hex(request.body ?? '')
  const headers = { ...request.headers, 'x-amz-date': stamp.timestamp, 'x-amz-content-sha256': payloadHash }
  const signedHeaders = signing.signedHeaders ?? defaultSignedHeaders(headers)
  const signature = signatureOf(signer.secretAccessKey, stamp, canonicalRequest({ ...request, headers }, signedHeaders, payloadHash))
  const authorization = `AWS4-HMAC-SHA256 Credential=${signer.accessKeyId}/${scopeOf(stamp)},SignedHeaders=${signedHeaders.join(';')},Signature=${signature}`
  return { ...request, headers: { ...headers, authorization } }
}

export interface QuerySigning {
  readonly at: Date
  /** 900 unless given; a string is sent as it is. */
  readonly expiresInSeconds?: number | string
  /** All headers of the request unless given. */
  readonly signedHeaders?: readonly string[]
}

/** Moves the signature into the query of the target. */
export function signWithQuery (request: WireRequest, signer: Signer, signing: QuerySigning): WireRequest {
  const stamp = stampOf(signer, signing.at)
  const signedHeaders = signing.signedHeaders ?? Object.keys(request.headers).sort()
  const parameters = [
    ['X-Amz-Algorithm', 'AWS4-HMAC-SHA256'],
    ['X-Amz-Credential', `${signer.accessKeyId}/${scopeOf(stamp)}`],
    ['X-Amz-Date', stamp.timestamp],
    ['X-Amz-Expires', String(signing.expiresInSeconds ?? 900)],
    ['X-Amz-SignedHeaders', signedHeaders.join(';')]
  ].map(([name = '', value = '']) => `${name}=${percentEncode(value)}`)
  const target = `${request.target}${request.target.includes('?') ? '&' : '?'}${parameters.join('&')}`
  const signature = signatureOf(signer.secretAccessKey, stamp, canonicalRequest({ ...request, target }, signedHeaders, unsignedPayload))
  return { ...request, target: `${target}&X-Amz-Signature=${signature}` }
}

export interface VerifiedUrl {
  readonly isValid: boolean
  readonly accessKeyId: string
  readonly region: string
  readonly signedHeaders: readonly string[]
  readonly timestamp: string
  readonly expiresInSeconds: number
}

/** Recomputes the signature of a presigned URL for the method and the headers that a client would send; does not look at the clock. */
export function verifyPresignedUrl (url: string, { method, headers, secretAccessKey }: { readonly method: string, readonly headers?: Readonly<Record<string, string>>, readonly secretAccessKey: string }): VerifiedUrl {
  const match = /^https?:\/\/([^/]+)(\/[^?]*)\?(.*)$/s.exec(url)
  const [, host = '', path = '', query = ''] = match ?? []
  const values = new URLSearchParams(query)
  const [accessKeyId = '', date = '', region = '', service = ''] = (values.get('X-Amz-Credential') ?? '').split('/')
  const signedHeaders = (values.get('X-Amz-SignedHeaders') ?? '').split(';')
  const timestamp = values.get('X-Amz-Date') ?? ''
  const unsigned = query.split('&').filter((pair) => !pair.startsWith('X-Amz-Signature=')).join('&')
  const canonical = canonicalRequest({ method, target: `${path}?${unsigned}`, headers: { ...headers, host } }, signedHeaders, values.get('X-Amz-Content-Sha256') ?? unsignedPayload)
  return {
    isValid: signatureOf(secretAccessKey, { timestamp, date, region, service }, canonical) === values.get('X-Amz-Signature'),
    accessKeyId,
    region,
    signedHeaders,
    timestamp,
    expiresInSeconds: Number(values.get('X-Amz-Expires'))
  }
}

export type PolicyCondition = Readonly<Record<string, string>> | readonly [string, string | number, string | number]

/** The fields x-amz-*, policy and x-amz-signature of a form; `conditions` are put into the policy beside those of the signature's own fields. */
export function signPostPolicy (conditions: readonly PolicyCondition[], signer: Signer, { at, expiration }: { readonly at: Date, readonly expiration: Date }): Record<string, string> {
  const stamp = stampOf(signer, at)
  const fields = {
    'x-amz-algorithm': 'AWS4-HMAC-SHA256',
    'x-amz-credential': `${signer.accessKeyId}/${scopeOf(stamp)}`,
    'x-amz-date': stamp.timestamp
  }
  const document = { expiration: expiration.toISOString(), conditions: [...conditions, ...Object.entries(fields).map(([name, value]) => ({ [name]: value }))] }
  const policy = Buffer.from(JSON.stringify(document)).toString('base64')
  return { ...fields, policy, 'x-amz-signature': hmac(keyOf(signer.secretAccessKey, stamp), policy).toString('hex') }
}

/** An aws-chunked body whose chunks are chained to the signature of the request (`seed`), with a signed trailer if one is given. */
export function signChunks (chunks: readonly string[], signer: Signer, { at, seed, trailer }: { readonly at: Date, readonly seed: string, readonly trailer?: readonly [name: string, value: string] }): string {
  const stamp = stampOf(signer, at)
  const key = keyOf(signer.secretAccessKey, stamp)
  let previous = seed
  const lines = [...chunks, ''].map((chunk) => {
    previous = hmac(key, `AWS4-HMAC-SHA256-PAYLOAD\n${stamp.timestamp}\n${scopeOf(stamp)}\n${previous}\n${sha256Hex('')}\n${sha256Hex(chunk)}`).toString('hex')
    return `${Buffer.byteLength(chunk).toString(16)};chunk-signature=${previous}\r\n${chunk === '' ? '' : `${chunk}\r\n`}`
  }).join('')
  if (trailer === undefined) return `${lines}\r\n`
  const signature = hmac(key, `AWS4-HMAC-SHA256-TRAILER\n${stamp.timestamp}\n${scopeOf(stamp)}\n${previous}\n${sha256Hex(`${trailer[0]}:${trailer[1]}\n`)}`).toString('hex')
  return `${lines}${trailer[0]}:${trailer[1]}\r\nx-amz-trailer-signature:${signature}\r\n\r\n`
}
