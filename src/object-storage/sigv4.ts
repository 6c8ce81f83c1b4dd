import { createHash, createHmac } from 'node:crypto'

/**
 * Signature Version 4 for presigned requests, over values that are known already: no request leaves from here.
 * Written from https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html and
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html; a test compares it with the AWS SDK.
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
  /** In any order. Names and values as they are, not encoded. */
  readonly query: ReadonlyArray<readonly [name: string, value: string]>
  /** Names in lower case. `host` is always signed, besides these. */
  readonly headers: Readonly<Record<string, string>>
  readonly signedAt: Date
  /** 1 to 604,800. */
  readonly expiresInSeconds: number
}

const ALGORITHM = 'AWS4-HMAC-SHA256'
const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD'
const CONTENT_SHA256 = 'x-amz-content-sha256'

/** The URL that carries the signature. A signed `x-amz-content-sha256` header binds the body, too. */
export function presignUrl (key: SigningKey, request: RequestToSign): string {
  const { amzDate, scope } = credentialScope(key, request.signedAt)
  const headers = Object.entries({ ...request.headers, host: request.bucketUrl.host })
    .map(([name, value]) => [name, value.trim().replace(/\s+/g, ' ')] as const).sort(byName)
  const signedHeaders = headers.map(([name]) => name).join(';')
  const payloadHash = request.headers[CONTENT_SHA256]
  const query: Array<readonly [string, string]> = [
    ...request.query,
    ['X-Amz-Algorithm', ALGORITHM],
    ['X-Amz-Credential', `${key.accessKeyId}/${scope}`],
    ['X-Amz-Date', amzDate],
    ['X-Amz-Expires', String(request.expiresInSeconds)],
    ['X-Amz-SignedHeaders', signedHeaders]
  ]
  if (payloadHash === undefined) query.push(['X-Amz-Content-Sha256', UNSIGNED_PAYLOAD])
  if (key.sessionToken !== undefined) query.push(['X-Amz-Security-Token', key.sessionToken])
  const path = `${request.bucketUrl.pathname}${encodePath(request.key)}`
  const canonicalRequest = [
    request.method,
    path,
    renderQuery(query),
    ...headers.map(([name, value]) => `${name}:${value}`),
    '',
    signedHeaders,
    payloadHash ?? UNSIGNED_PAYLOAD
  ].join('\n')
  const signature = sign(key, request.signedAt, [ALGORITHM, amzDate, scope, sha256Hex(canonicalRequest)].join('\n'))
  return `${request.bucketUrl.origin}${path}?${renderQuery([...query, ['X-Amz-Signature', signature]])}`
}

/** The fields of a form, in order, without the file. Each of them is bound by equality, and so are bucket and key. */
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
  const { amzDate, scope } = credentialScope(key, signedAt)
  const bound = {
    ...fields,
    bucket,
    'X-Amz-Algorithm': ALGORITHM,
    'X-Amz-Credential': `${key.accessKeyId}/${scope}`,
    'X-Amz-Date': amzDate,
    ...(key.sessionToken !== undefined && { 'X-Amz-Security-Token': key.sessionToken }),
    key: objectKey
  }
  const policy = Buffer.from(JSON.stringify({
    expiration: `${expiresAt.toISOString().slice(0, 19)}Z`,
    conditions: [['content-length-range', ...lengthRange], ...Object.entries(bound).map(([name, value]) => ({ [name]: value }))]
  })).toString('base64')
  return { ...bound, Policy: policy, 'X-Amz-Signature': sign(key, signedAt, policy) }
}

function credentialScope ({ region }: SigningKey, signedAt: Date) {
  const amzDate = `${signedAt.toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`
  return { amzDate, scope: `${amzDate.slice(0, 8)}/${region}/s3/aws4_request` }
}

function sign (key: SigningKey, signedAt: Date, text: string): string {
  return createHmac('sha256', dayKey(key, signedAt.toISOString().slice(0, 10).replaceAll('-', ''))).update(text).digest('hex')
}

/** Keys that sign for a day in a region: four of the five HMACs of a signature. Few, since credentials are few. */
const dayKeys = new Map<string, Buffer>()
const MAX_DAY_KEYS = 32

function dayKey ({ secretAccessKey, region }: SigningKey, day: string): Buffer {
  const identity = `${day}/${region}/${secretAccessKey}`
  let derived = dayKeys.get(identity)
  if (!derived) {
    if (dayKeys.size >= MAX_DAY_KEYS) dayKeys.clear()
    derived = [day, region, 's3', 'aws4_request'].reduce((parent, step) => createHmac('sha256', parent).update(step).digest(), Buffer.from(`AWS4${secretAccessKey}`))
    dayKeys.set(identity, derived)
  }
  return derived
}

function sha256Hex (text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function renderQuery (query: ReadonlyArray<readonly [string, string]>): string {
  return query.map(([name, value]) => [encode(name), encode(value)] as const).sort(byName).map(([name, value]) => `${name}=${value}`).join('&')
}

function encodePath (key: string): string {
  return key.split('/').map(encode).join('/')
}

/** Every byte but the unreserved ones of RFC 3986. */
function encode (text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, character => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}

function byName ([left]: readonly [string, string], [right]: readonly [string, string]): number {
  return left < right ? -1 : left > right ? 1 : 0
}
