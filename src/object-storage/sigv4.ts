import { createHmac, hash } from 'node:crypto'

/**
 * Signature Version 4 for presigned requests, over values that are known already: no request leaves from here.
 * Written from https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html and
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html; a test compares it with the AWS SDK.
 * Use the same object again for the same credentials: what a day's signatures share is kept by it.
 */
export interface SigningKey {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
  readonly region: string
}

export interface RequestToSign {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'DELETE'
  /** Where the bucket is, ending with a slash: `https://bucket.s3.eu-west-1.amazonaws.com/`, `http://host:9000/bucket/`. */
  readonly bucketUrl: URL
  readonly key: string
  /** In any order. Names of unreserved characters; values as they are, not encoded. */
  readonly query: ReadonlyArray<readonly [name: string, value: string]>
  /** Names in lower case. `host` is always signed, besides these. */
  readonly headers: Readonly<Record<string, string>>
  readonly signedAt: Date
  /** 1 to 604,800. */
  readonly expiresInSeconds: number
}

const ALGORITHM = 'AWS4-HMAC-SHA256'
export const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD'
export const CONTENT_SHA256 = 'x-amz-content-sha256'

/** The URL that carries the signature. A signed header `x-amz-content-sha256` binds the body, too. */
export function presignUrl (key: SigningKey, request: RequestToSign): string {
  const { canonicalRequest, url, sign } = describe(key, request)
  return insertSignature(url, sign(canonicalRequest))
}

/** Stands for a value of a query and of a header that differs from one URL to the next. */
export const HOLE = '~~hole~~'

/**
 * Signs requests that differ in two values alone, where `request` has a `HOLE`: the second one is in a header. Neither
 * may need encoding. Several times cheaper than signing each by itself.
 * @throws when `request` has the text of a `HOLE` in other places
 */
export function presignAlike (key: SigningKey, request: RequestToSign): (inQuery: string, inHeader: string) => string {
  const { canonicalRequest, url, sign } = describe(key, request)
  const [beforeQuery, beforeHeader, rest, ...others] = canonicalRequest.split(HOLE)
  const [head, tail] = url.split(HOLE) as [string, string]
  if (rest === undefined || others.length > 0) throw new Error('The request must have exactly two holes, in the query and in a header')
  return (inQuery, inHeader) => insertSignature(head + inQuery + tail, sign(beforeQuery + inQuery + beforeHeader + inHeader + rest))
}

function describe (key: SigningKey, { method, bucketUrl, key: objectKey, query, headers, signedAt, expiresInSeconds }: RequestToSign) {
  const { scope, amzDate, derivedKey, encodedCredential, encodedToken } = momentOf(key, signedAt)
  const names = [...Object.keys(headers), 'host'].sort()
  let canonicalHeaders = ''
  for (const name of names) canonicalHeaders += `${name}:${name === 'host' ? bucketUrl.host : oneSpaced(headers[name] as string)}\n`
  const parameters = [
    `X-Amz-Algorithm=${ALGORITHM}`,
    `X-Amz-Credential=${encodedCredential}`,
    `X-Amz-Date=${amzDate}`,
    `X-Amz-Expires=${expiresInSeconds}`,
    `X-Amz-SignedHeaders=${names.join('%3B')}`
  ]
  if (encodedToken !== null) parameters.push(`X-Amz-Security-Token=${encodedToken}`)
  for (const [name, value] of query) parameters.push(`${name}=${encode(value)}`)
  const path = bucketUrl.pathname + encodePath(objectKey)
  // The order of the names, since none of them begins with another one.
  const canonicalQuery = parameters.sort().join('&')
  return {
    canonicalRequest: `${method}\n${path}\n${canonicalQuery}\n${canonicalHeaders}\n${names.join(';')}\n${headers[CONTENT_SHA256] ?? UNSIGNED_PAYLOAD}`,
    url: `${bucketUrl.origin}${path}?${canonicalQuery}`,
    sign: (canonicalRequest: string) => hmac(derivedKey, `${ALGORITHM}\n${amzDate}\n${scope}\n${hash('sha256', canonicalRequest)}`)
  }
}

/** Where its name comes in the order of names, as the SDK has it. */
function insertSignature (url: string, signature: string): string {
  const at = url.indexOf('&X-Amz-SignedHeaders=')
  return `${url.slice(0, at)}&X-Amz-Signature=${signature}${url.slice(at)}`
}

/** The fields of a form, in order, without the file; their names need no escape. Each of them is bound by equality, and so are bucket and key. */
export function signPostPolicy (key: SigningKey, { bucket, objectKey, fields, lengthRange, signedAt, expiresAt }: {
  readonly bucket: string
  /** Without `$`: S3 would put a file name in. */
  readonly objectKey: string
  readonly fields: Readonly<Record<string, string>>
  /** The least and the most bytes that the file may have. */
  readonly lengthRange: readonly [number, number]
  readonly signedAt: Date
  readonly expiresAt: Date
}): Record<string, string> {
  const { derivedKey, common, commonConditions } = momentOf(key, signedAt)
  let conditions = `["content-length-range",${lengthRange[0]},${lengthRange[1]}]`
  for (const name in fields) conditions += equals(name, fields[name] as string)
  conditions += equals('bucket', bucket) + commonConditions + equals('key', objectKey)
  const policy = Buffer.from(`{"expiration":"${expiresAt.toISOString().slice(0, 19)}Z","conditions":[${conditions}]}`).toString('base64')
  return { ...fields, bucket, ...common, key: objectKey, Policy: policy, 'X-Amz-Signature': hmac(derivedKey, policy) }
}

const equals = (name: string, value: string): string => `,{"${name}":${JSON.stringify(value)}}`
type Moment = ReturnType<typeof startDay> & { readonly second: number, readonly amzDate: string, readonly common: Readonly<Record<string, string>>, readonly commonConditions: string }
const lastMoments = new WeakMap<SigningKey, Moment>()

/** What the signatures of a second share, and those of a day: four of the five HMACs of each above all. */
function momentOf (key: SigningKey, signedAt: Date): Moment {
  const second = Math.floor(signedAt.getTime() / 1000)
  const last = lastMoments.get(key)
  if (last?.second === second) return last
  const amzDate = `${signedAt.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`
  const date = amzDate.slice(0, 8)
  const day = last?.amzDate.startsWith(date) ? last : startDay(key, date)
  const common = { 'X-Amz-Algorithm': ALGORITHM, 'X-Amz-Credential': `${key.accessKeyId}/${day.scope}`, 'X-Amz-Date': amzDate, ...(key.sessionToken !== undefined && { 'X-Amz-Security-Token': key.sessionToken }) }
  const moment = { ...day, second, amzDate, common, commonConditions: Object.entries(common).map(([name, value]) => equals(name, value)).join('') }
  lastMoments.set(key, moment)
  return moment
}

function startDay (key: SigningKey, date: string) {
  const steps = [date, key.region, 's3', 'aws4_request']
  const scope = steps.join('/')
  return {
    scope,
    derivedKey: steps.reduce((parent, step) => createHmac('sha256', parent).update(step).digest(), Buffer.from(`AWS4${key.secretAccessKey}`)),
    encodedCredential: encode(`${key.accessKeyId}/${scope}`),
    encodedToken: key.sessionToken === undefined ? null : encode(key.sessionToken)
  }
}

function hmac (key: Buffer, text: string): string {
  return createHmac('sha256', key).update(text).digest('hex')
}

const oneSpaced = (value: string): string => /\s/.test(value) ? value.trim().replace(/\s+/g, ' ') : value

/** A key as the path of a URL, without the slash before it. */
export function encodePath (key: string): string {
  return /^[\w.~/-]*$/.test(key) ? key : key.split('/').map(encode).join('/')
}

/** Every byte but the unreserved ones of RFC 3986. */
export function encode (text: string): string {
  if (/^[\w.~-]*$/.test(text)) return text
  return encodeURIComponent(text).replace(/[!'()*]/g, character => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}
