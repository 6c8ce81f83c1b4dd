import { createHmac, hash } from 'node:crypto'
import { createHmacSha256 } from './hmac-sha256.js'
import { encode, encodePath } from './percent-encoding.js'

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

/**
 * The URL that carries the signature. A signed header `x-amz-content-sha256` binds the body, too. Requests of one second that differ
 * in their values alone share all that is put together from the rest.
 */
export function presignUrl (key: SigningKey, request: RequestToSign): string {
  const { query, headers } = request
  const values = [encodePath(request.key), String(request.expiresInSeconds)]
  let names = `${request.method} ${request.bucketUrl.href}`
  for (const [name, value] of query) {
    names += `&${name}`
    values.push(encode(value))
  }
  for (const name in headers) {
    names += `:${name}`
    values.push(oneSpaced(headers[name] as string))
  }
  const moment = momentOf(key, request.signedAt)
  let template = moment.templates.get(names)
  if (!template) moment.templates.set(names, template = makeTemplate(moment, request))
  return template(values)
}

/** Makes the URL of such a request, given key, lifetime, and the values of its query and headers, encoded. */
type Template = (values: readonly string[]) => string

function makeTemplate ({ scope, amzDate, hmac, encodedCredential, encodedToken }: Moment, { method, bucketUrl, query, headers }: RequestToSign): Template {
  const holes = new Map([...query.map(([name]) => name), ...Object.keys(headers)].map((name, index) => [name, `{${index + 2}}`]))
  const names = [...Object.keys(headers), 'host'].sort()
  const signedHeaders = `X-Amz-SignedHeaders=${names.join('%3B')}`
  const parameters = [
    `X-Amz-Algorithm=${ALGORITHM}`,
    `X-Amz-Credential=${encodedCredential}`,
    `X-Amz-Date=${amzDate}`,
    'X-Amz-Expires={1}',
    ...(encodedToken === null ? [] : [`X-Amz-Security-Token=${encodedToken}`]),
    signedHeaders,
    ...query.map(([name]) => `${name}=${holes.get(name)}`)
  ]
  const path = `${bucketUrl.pathname}{0}`
  // The order of the names, since none of them begins with another one.
  const canonicalQuery = parameters.sort().join('&')
  const canonicalHeaders = names.map(name => `${name}:${name === 'host' ? bucketUrl.host : holes.get(name)}\n`).join('')
  const canonicalRequest = fill(`${method}\n${path}\n${canonicalQuery}\n${canonicalHeaders}\n${names.join(';')}\n${holes.get(CONTENT_SHA256) ?? UNSIGNED_PAYLOAD}`)
  // The signature is where its name is in the order of names, as the SDK has it.
  const [head, tail] = `${bucketUrl.origin}${path}?${canonicalQuery}`.split(signedHeaders) as [string, string]
  const before = fill(`${head}X-Amz-Signature=`)
  const after = fill(`&${signedHeaders}${tail}`)
  const toSign = `${ALGORITHM}\n${amzDate}\n${scope}\n`
  return values => before(values) + hmac(toSign + hash('sha256', canonicalRequest(values))) + after(values)
}

/** Puts values where the text has their index in braces, which appear in it nowhere else. */
function fill (text: string): (values: readonly string[]) => string {
  const [first = '', ...rest] = text.split(/\{(\d+)\}/)
  const pieces = Array.from({ length: rest.length / 2 }, (_, index) => ({ at: Number(rest[index * 2]), text: rest[index * 2 + 1] as string }))
  return values => {
    let filled = first
    for (const { at, text } of pieces) filled += values[at] + text
    return filled
  }
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
  const { hmac, common, commonConditions } = momentOf(key, signedAt)
  let conditions = `["content-length-range",${lengthRange[0]},${lengthRange[1]}]`
  for (const name in fields) conditions += equals(name, fields[name] as string)
  conditions += equals('bucket', bucket) + commonConditions + equals('key', objectKey)
  const policy = Buffer.from(`{"expiration":"${expiresAt.toISOString().slice(0, 19)}Z","conditions":[${conditions}]}`).toString('base64')
  return { ...fields, bucket, ...common, key: objectKey, Policy: policy, 'X-Amz-Signature': hmac(policy) }
}

const equals = (name: string, value: string): string => `,{"${name}":${JSON.stringify(value)}}`
type Moment = ReturnType<typeof startDay> & { readonly second: number, readonly amzDate: string, readonly common: Readonly<Record<string, string>>, readonly commonConditions: string, readonly templates: Map<string, Template> }
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
  const moment = { ...day, second, amzDate, common, commonConditions: Object.entries(common).map(([name, value]) => equals(name, value)).join(''), templates: new Map<string, Template>() }
  lastMoments.set(key, moment)
  return moment
}

function startDay (key: SigningKey, date: string) {
  const steps = [date, key.region, 's3', 'aws4_request']
  const scope = steps.join('/')
  return {
    scope,
    hmac: createHmacSha256(steps.reduce((parent, step) => createHmac('sha256', parent).update(step).digest(), Buffer.from(`AWS4${key.secretAccessKey}`))),
    encodedCredential: encode(`${key.accessKeyId}/${scope}`),
    encodedToken: key.sessionToken === undefined ? null : encode(key.sessionToken)
  }
}

const oneSpaced = (value: string): string => /\s/.test(value) ? value.trim().replace(/\s+/g, ' ') : value
