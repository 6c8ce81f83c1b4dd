import { GetObjectCommand, HeadObjectCommand, PutObjectCommand, DeleteObjectCommand, S3Client, UploadPartCommand, type S3ClientConfig } from '@aws-sdk/client-s3'
import { createPresignedPost } from '@aws-sdk/s3-presigned-post'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import t from 'tap'
import { presignUrl, signPostPolicy, type RequestToSign, type SigningKey } from '../../src/object-storage/sigv4.js'

/** A reproducible source of cases: mulberry32. The seed of a failing run is in its message. */
const SEED = 20261125
let state = SEED
function random (limit: number): number {
  state = (state + 0x6d2b79f5) | 0
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) % limit
}
const pick = <T>(values: readonly T[]): T => values[random(values.length)] as T
const ALPHABET = [..."abcXYZ019-_.~!*'()+ &=;:,@$#?%\"<>[]{}|\\^`", 'ä', 'ß', '日', '本', '😀', 'é', '\u00a0', '\u0301']
const word = (length = 1 + random(12)) => Array.from({ length }, () => pick(ALPHABET)).join('')
function keyName (): string {
  const segments = Array.from({ length: 1 + random(4) }, () => word())
  return segments.join(pick(['/', '/', '//']))
}

const STYLES: ReadonlyArray<{ config: Partial<S3ClientConfig>, bucketUrl: (bucket: string, region: string) => string }> = [
  { config: {}, bucketUrl: (bucket, region) => `https://${bucket}.s3.${region}.amazonaws.com/` },
  { config: { forcePathStyle: true }, bucketUrl: (bucket, region) => `https://s3.${region}.amazonaws.com/${bucket}/` },
  { config: { endpoint: 'http://127.0.0.1:9000', forcePathStyle: true }, bucketUrl: bucket => `http://127.0.0.1:9000/${bucket}/` },
  { config: { endpoint: 'https://s3.example.com:8443' }, bucketUrl: bucket => `https://${bucket}.s3.example.com:8443/` }
]
const KEYS: readonly SigningKey[] = ['us-east-1', 'eu-central-1'].flatMap(region => [
  { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', region },
  { accessKeyId: 'ASIAEXAMPLE', secretAccessKey: 'another/secret', sessionToken: 'IQoJb3JpZ2lu+/==', region }
])
const clients = KEYS.flatMap(key => STYLES.map(style => ({
  key,
  style,
  client: new S3Client({ ...style.config, region: key.region, credentials: { accessKeyId: key.accessKeyId, secretAccessKey: key.secretAccessKey, ...(key.sessionToken !== undefined && { sessionToken: key.sessionToken }) }, requestChecksumCalculation: 'WHEN_REQUIRED', responseChecksumValidation: 'WHEN_REQUIRED' })
})))

type Case = Omit<RequestToSign, 'bucketUrl' | 'signedAt' | 'expiresInSeconds'> & { readonly command: unknown }

function operation (bucket: string, key: string): Case {
  const at = { Bucket: bucket, Key: key }
  switch (random(6)) {
    case 0: {
      const type = pick(['image/png', 'text/plain', 'application/vnd.api+json'])
      const length = random(1e9)
      const sum = random(2) === 0 ? undefined : Buffer.from(word(8)).toString('base64')
      return {
        method: 'PUT',
        key,
        query: [['x-id', 'PutObject']],
        headers: { 'content-type': type, 'content-length': String(length), 'if-none-match': '*', ...(sum !== undefined && { 'x-amz-checksum-sha256': sum }) },
        command: new PutObjectCommand({ ...at, ContentType: type, ContentLength: length, IfNoneMatch: '*', ...(sum !== undefined && { ChecksumSHA256: sum }) })
      }
    }
    case 1: {
      const part = 1 + random(10_000)
      const id = word(20)
      const length = random(5e9)
      return { method: 'PUT', key, query: [['x-id', 'UploadPart'], ['partNumber', String(part)], ['uploadId', id]], headers: { 'content-length': String(length) }, command: new UploadPartCommand({ ...at, PartNumber: part, UploadId: id, ContentLength: length }) }
    }
    case 2: {
      const name = word(20)
      return {
        method: 'GET',
        key,
        query: [['x-id', 'GetObject'], ['response-content-disposition', name], ['response-content-type', 'image/png'], ['response-cache-control', 'private, max-age=60']],
        headers: {},
        command: new GetObjectCommand({ ...at, ResponseContentDisposition: name, ResponseContentType: 'image/png', ResponseCacheControl: 'private, max-age=60' })
      }
    }
    case 3: return { method: 'HEAD', key, query: [['response-content-type', 'a/b']], headers: {}, command: new HeadObjectCommand({ ...at, ResponseContentType: 'a/b' }) }
    case 4: return { method: 'DELETE', key, query: [['x-id', 'DeleteObject']], headers: {}, command: new DeleteObjectCommand(at) }
    default: return { method: 'GET', key, query: [['x-id', 'GetObject']], headers: {}, command: new GetObjectCommand(at) }
  }
}

/** The SDK would move these into the query, where no store enforces them. */
const SIGNED = new Set(['if-none-match', 'x-amz-checksum-sha256'])
/** The SDK says it in every URL. */
const UNSIGNED = ['X-Amz-Content-Sha256', 'UNSIGNED-PAYLOAD'] as const
const CASES = 20_000

t.test(`${CASES} random requests get the URL that the AWS SDK gives, byte for byte`, async t => {
  const counts = new Map<string, number>()
  for (let index = 0; index < CASES; index++) {
    const { key: signingKey, style, client } = pick(clients)
    const bucket = `bucket-${random(3)}`
    const { command, ...request } = operation(bucket, keyName())
    // Most are of a second that others are of, too, under the same credentials: those share what is put together from their names.
    const signedAt = new Date(1_700_000_000_000 + (random(10) === 0 ? random(1e8) : Math.floor(index / 500)) * 1000)
    const expiresInSeconds = 1 + random(604_800)
    const ours = presignUrl(signingKey, { ...request, query: [...request.query, UNSIGNED], bucketUrl: new URL(style.bucketUrl(bucket, signingKey.region)), signedAt, expiresInSeconds })
    const theirs = await getSignedUrl(client, command as GetObjectCommand, { signingDate: signedAt, expiresIn: expiresInSeconds, signableHeaders: new Set(Object.keys(request.headers)), unhoistableHeaders: SIGNED })
    if (ours !== theirs) {
      t.equal(ours, theirs, `case ${index} of seed ${SEED}: ${JSON.stringify(request)}`)
      return
    }
    counts.set(request.method, (counts.get(request.method) ?? 0) + 1)
  }
  t.same([...counts.keys()].sort(), ['DELETE', 'GET', 'HEAD', 'PUT'])
  t.ok([...counts.values()].every(count => count > 1000))
})

t.test('500 random forms get the fields that the AWS SDK gives', async t => {
  for (let index = 0; index < 500; index++) {
    const { key: signingKey, client } = pick(clients)
    const bucket = `bucket-${random(100)}`
    const key = keyName().replaceAll('$', 's')
    const own = { 'content-type': pick(['image/png', 'text/plain']), success_action_status: '201', [pick(['x-amz-meta-a', 'x-amz-checksum-sha256'])]: word() }
    const range = [random(100), 100 + random(1e6)] as const
    const theirs = await createPresignedPost(client, { Bucket: bucket, Key: key, Fields: own, Conditions: [['content-length-range', ...range]], Expires: 60 })
    const policy = JSON.parse(Buffer.from(String(theirs.fields['Policy']), 'base64').toString()) as { expiration: string }
    const signedAt = new Date(String(theirs.fields['X-Amz-Date']).replace(/(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/, '$1-$2-$3T$4:$5:$6Z'))
    const ours = signPostPolicy(signingKey, { bucket, objectKey: key, fields: own, lengthRange: range, signedAt, expiresAt: new Date(policy.expiration) })
    if (!t.strictSame(ours, theirs.fields)) return
  }
})

t.test("the signature of Amazon's own example", async t => {
  // https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
  const url = presignUrl({ accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', region: 'us-east-1' }, {
    method: 'GET', bucketUrl: new URL('https://examplebucket.s3.amazonaws.com/'), key: 'test.txt', query: [], headers: {}, signedAt: new Date('2013-05-24T00:00:00Z'), expiresInSeconds: 86_400
  })
  t.equal(new URL(url).searchParams.get('X-Amz-Signature'), 'aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404')
})

t.test('the day key follows credentials, day and region', async t => {
  const request = { method: 'GET' as const, bucketUrl: new URL('http://h/b/'), key: 'k', query: [], headers: {}, signedAt: new Date('2026-01-01T23:59:59Z'), expiresInSeconds: 60 }
  const keys: readonly SigningKey[] = [{}, { secretAccessKey: 'c' }, { region: 's' }].map(change => ({ accessKeyId: 'a', secretAccessKey: 'b', region: 'r', ...change }))
  const signatures = (signedAt = request.signedAt) => keys.map(key => new URL(presignUrl(key, { ...request, signedAt })).searchParams.get('X-Amz-Signature'))
  const first = signatures()
  const nextDay = signatures(new Date('2026-01-02T00:00:00Z'))
  t.equal(new Set([...first, ...nextDay]).size, 6)
  t.same(signatures(), first, 'also back on the day before')
})
