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
  /** In any order. Names of unreserved characters, none of them a header's, too; values as they are, not encoded. */
  readonly query: ReadonlyArray<readonly [name: string, value: string]>
  /** Names in lower case. `host` is always signed, besides these. */
  readonly headers: Readonly<Record<string, string>>
  readonly signedAt: Date
  /** 1 to 604,800. */
  readonly expiresInSeconds: number
}

export interface FormToSign {
  readonly bucket: string
  /** Without `$`: S3 would put a file name in. */
  readonly objectKey: string
  readonly fields: Readonly<Record<string, string>>
  /** The least and the most bytes that the file may have. */
  readonly lengthRange: readonly [number, number]
  readonly signedAt: Date
  readonly expiresAt: Date
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

/** Takes the key, the lifetime, and the values of query and headers, encoded. */
type Template = (values: readonly string[]) => string

function makeTemplate ({ scope, amzDate, hmac, common }: Moment, { method, bucketUrl, query, headers }: RequestToSign): Template {
  const holes = new Map([...query.map(([name]) => name), ...Object.keys(headers)].map((name, index) => [name, `{${index + 2}}`]))
  const names = [...Object.keys(headers), 'host'].sort()
  const signedHeaders = `X-Amz-SignedHeaders=${names.join('%3B')}`
  const own = Object.entries(common).map(([name, value]) => `${name}=${encode(value)}`).concat('X-Amz-Expires={1}', signedHeaders)
  // The order of the names, since none of them begins with another one.
  const canonicalQuery = [...own, ...query.map(([name]) => `${name}=${holes.get(name)}`)].sort().join('&')
  const canonicalHeaders = names.map(name => `${name}:${name === 'host' ? bucketUrl.host : holes.get(name)}\n`).join('')
  const fillRequest = cut(`${method}\n${bucketUrl.pathname}{0}\n${canonicalQuery}\n${canonicalHeaders}\n${names.join(';')}\n${holes.get(CONTENT_SHA256) ?? UNSIGNED_PAYLOAD}`)
  // The signature is where its name is in the order of names, as the SDK has it.
  const fillUrl = cut(`${bucketUrl.href}{0}?${canonicalQuery.replace(signedHeaders, `X-Amz-Signature={${holes.size + 2}}&$&`)}`)
  return values => fillUrl([...values, hmac(`${ALGORITHM}\n${amzDate}\n${scope}\n${hash('sha256', fillRequest(values))}`)])
}

/** Puts values where the text has their index in braces, which are nowhere else in it. */
function cut (text: string): Template {
  const [first = '', ...rest] = text.split('{')
  const pieces = rest.map(piece => ({ at: Number.parseInt(piece), text: piece.slice(piece.indexOf('}') + 1) }))
  return values => {
    let filled = first
    for (const { at, text } of pieces) filled += values[at] + text
    return filled
  }
}

/** The fields of a form, in order, without the file; their names need no escape. Each of them is bound by equality, and so are bucket and key. */
export function signPostPolicy (key: SigningKey, { bucket, objectKey, fields, lengthRange, signedAt, expiresAt }: FormToSign): Record<string, string> {
  const { hmac, common, commonConditions } = momentOf(key, signedAt)
  let conditions = `["content-length-range",${lengthRange[0]},${lengthRange[1]}]`
  for (const name in fields) conditions += equals(name, fields[name] as string)
  conditions += equals('bucket', bucket) + commonConditions + equals('key', objectKey)
  const policy = Buffer.from(`{"expiration":"${expiresAt.toISOString().slice(0, 19)}Z","conditions":[${conditions}]}`).toString('base64')
  // Assigned, since Node 20 takes longer for a spread with more behind it than for all the rest.
  const form: Record<string, string> = {}
  for (const name in fields) form[name] = fields[name] as string
  form['bucket'] = bucket
  for (const name in common) form[name] = common[name] as string
  form['key'] = objectKey
  form['Policy'] = policy
  form['X-Amz-Signature'] = hmac(policy)
  return form
}

const equals = (name: string, value: string): string => `,{"${name}":${JSON.stringify(value)}}`

/** Uploads are signed now, downloads at the beginning of their window. */
const MAX_MOMENTS = 16
const momentsOf = new WeakMap<SigningKey, Map<number, Moment>>()
type Moment = ReturnType<typeof startMoment>

/** What the signatures of a second share, and those of a day: four of the five HMACs of each above all. */
function momentOf (key: SigningKey, signedAt: Date): Moment {
  const second = Math.floor(signedAt.getTime() / 1000)
  const moments = momentsOf.get(key) ?? new Map<number, Moment>()
  const known = moments.get(second)
  if (known) return known
  const moment = startMoment(key, signedAt, [...moments.values()])
  if (moments.size === MAX_MOMENTS) moments.clear()
  momentsOf.set(key, moments.set(second, moment))
  return moment
}

function startMoment (key: SigningKey, signedAt: Date, days: ReadonlyArray<ReturnType<typeof startDay>>) {
  const amzDate = `${signedAt.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`
  const date = amzDate.slice(0, 8)
  const { hmac, scope } = days.find(({ scope }) => scope.startsWith(date)) ?? startDay(key, date)
  const credential = `${key.accessKeyId}/${scope}`
  const common: Readonly<Record<string, string>> = { 'X-Amz-Algorithm': ALGORITHM, 'X-Amz-Credential': credential, 'X-Amz-Date': amzDate, ...(key.sessionToken !== undefined && { 'X-Amz-Security-Token': key.sessionToken }) }
  return { hmac, scope, amzDate, common, commonConditions: Object.entries(common).map(([name, value]) => equals(name, value)).join(''), templates: new Map<string, Template>() }
}

function startDay (key: SigningKey, date: string) {
  const steps = [date, key.region, 's3', 'aws4_request']
  const derived = steps.reduce((parent, step) => createHmac('sha256', parent).update(step).digest(), Buffer.from(`AWS4${key.secretAccessKey}`))
  return { scope: steps.join('/'), hmac: createHmacSha256(derived) }
}

const oneSpaced = (value: string): string => /\s/.test(value) ? value.trim().replace(/\s+/g, ' ') : value
