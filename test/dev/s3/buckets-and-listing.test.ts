import { createHash, randomUUID } from 'node:crypto'

import {
  CreateBucketCommand, DeleteBucketCommand, DeleteBucketCorsCommand, DeleteObjectsCommand, GetBucketCorsCommand, GetBucketLifecycleConfigurationCommand,
  GetBucketLocationCommand, HeadBucketCommand, ListBucketsCommand, ListObjectsCommand, ListObjectsV2Command, PutBucketCorsCommand,
  PutBucketLifecycleConfigurationCommand, PutObjectCommand, type ListObjectsV2CommandInput, type ListObjectsV2CommandOutput
} from '@aws-sdk/client-s3'
import t from 'tap'

import { startTestS3 } from '../../helpers/s3.js'
import { hostOf, presign, requestFor, send, sendSigned, type Sending } from './fixtures/send.js'

const s3 = await startTestS3(t)
const isEmbedded = s3.kind === 'embedded'

function raw (method: string, bucket: string, key: string, sending: Sending = {}) {
  return sendSigned(s3, requestFor(s3, method, bucket, key, sending))
}

async function putAll (bucket: string, keys: readonly string[]): Promise<void> {
  for (const Key of keys) await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: Key }))
}

async function listAll (bucket: string, input: Partial<ListObjectsV2CommandInput>): Promise<string[]> {
  const found: string[] = []
  let token: string | undefined
  do {
    const page: ListObjectsV2CommandOutput = await s3.client.send(new ListObjectsV2Command({ Bucket: bucket, ...input, ...(token === undefined ? {} : { ContinuationToken: token }) }))
    const names = [...(page.Contents ?? []).map(({ Key }) => Key ?? ''), ...(page.CommonPrefixes ?? []).map(({ Prefix }) => `[${Prefix ?? ''}]`)]
    if (page.KeyCount !== names.length) throw new Error(`KeyCount ${page.KeyCount ?? ''} of ${names.length}`)
    if (names.length > (input.MaxKeys ?? 1000)) throw new Error('more than MaxKeys')
    found.push(...names)
    token = page.IsTruncated === true ? page.NextContinuationToken : undefined
  } while (token !== undefined)
  return found
}

// Everything that is awaited here comes before the first test: a test file ends when its tests are done.
const keys = ['a', 'a/1', 'a/2', 'a/b/3', 'b', 'b/', 'c&<d>', 'ü', '\uff5a', '😀', 'Z', 'with space']
const listed = await s3.createBucket()
await putAll(listed, keys)

const rules = [
  { AllowedOrigins: ['https://app.example', 'http://*.local'], AllowedMethods: ['PUT', 'POST'], AllowedHeaders: ['content-type', 'x-amz-*'], ExposeHeaders: ['ETag'], MaxAgeSeconds: 300 },
  { AllowedOrigins: ['*'], AllowedMethods: ['GET'] }
]
const cors = await s3.createBucket()
await s3.client.send(new PutBucketCorsCommand({ Bucket: cors, CORSConfiguration: { CORSRules: rules } }))

t.test('a bucket is made once, found, listed, and deleted when it is empty', async (t) => {
  const bucket = `made-${randomUUID()}`
  t.equal((await raw('HEAD', bucket, '')).status, 404)
  t.equal((await raw('PUT', bucket, '')).status, 200)
  t.equal((await s3.client.send(new HeadBucketCommand({ Bucket: bucket }))).$metadata.httpStatusCode, 200)
  const { Buckets = [] } = await s3.client.send(new ListBucketsCommand({}))
  t.ok(Buckets.find(({ Name, CreationDate }) => Name === bucket && CreationDate instanceof Date))
  t.equal((await s3.client.send(new GetBucketLocationCommand({ Bucket: bucket }))).LocationConstraint ?? '', isEmbedded ? '' : 'default')
  await putAll(bucket, ['a'])
  t.match(await raw('DELETE', bucket, ''), { status: 409, code: 'BucketNotEmpty' })
  await raw('DELETE', bucket, 'a')
  t.equal((await s3.client.send(new DeleteBucketCommand({ Bucket: bucket }))).$metadata.httpStatusCode, 204)
  t.match(await raw('GET', bucket, ''), { status: 404, code: 'NoSuchBucket' })
  t.match(await raw('DELETE', bucket, ''), { status: 404, code: 'NoSuchBucket' })
})

t.test('making an own bucket again is a conflict where it is not a success', async (t) => {
  const bucket = await s3.createBucket()
  if (isEmbedded) await t.rejects(s3.client.send(new CreateBucketCommand({ Bucket: bucket })), { name: 'BucketAlreadyOwnedByYou' })
  else t.ok([200, 409].includes((await raw('PUT', bucket, '')).status))
})

t.test('a bucket name is refused:', async (t) => {
  for (const name of ['ab', 'a'.repeat(64), 'Upper', 'under_score', '192.168.1.1', 'two..dots', '-dash', 'dash-', 'xn--x', 'a-s3alias']) {
    await t.test(name, async (t) => {
      const response = await raw('PUT', name, '')
      if (isEmbedded) t.match(response, { status: 400, code: 'InvalidBucketName' })
      else t.ok(response.status === 400 || response.status === 200, 'older servers know other rules')
    })
  }
})

const sorted = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
const behind = (from: string): string[] => sorted.filter((key) => Buffer.compare(Buffer.from(key), Buffer.from(from)) > 0)

const listings: Array<[name: string, input: Partial<ListObjectsV2CommandInput>, expected: string[]]> = [
  ['everything in the order of its bytes', {}, sorted],
  ['a prefix', { Prefix: 'a/' }, ['a/1', 'a/2', 'a/b/3']],
  ['a prefix that is a key', { Prefix: 'b' }, ['b', 'b/']],
  ['a prefix of nothing', { Prefix: 'x' }, []],
  ['behind a key', { StartAfter: 'b' }, behind('b')],
  ['behind what is no key', { StartAfter: 'a/15' }, behind('a/15')],
  ['behind the last key', { StartAfter: '😀' }, []],
  ['a prefix and behind', { Prefix: 'a/', StartAfter: 'a/1' }, ['a/2', 'a/b/3']],
  ['folders in a folder', { Prefix: 'a/', Delimiter: '/' }, ['a/1', 'a/2', '[a/b/]']],
  ['no keys at all', { MaxKeys: 0 }, []]
]
t.test('ListObjectsV2 lists', async (t) => {
  for (const [name, input, expected] of listings) {
    await t.test(name, async (t) => {
      t.same(await listAll(listed, input), expected)
      if (input.MaxKeys === undefined) {
        for (const MaxKeys of [1, 2, 3]) t.same(await listAll(listed, { ...input, MaxKeys }), expected, `${MaxKeys} at a time`)
      }
    })
  }
  await t.test('folders, each once, however the pages fall', async (t) => {
    for (const MaxKeys of [1, 2, 5, 1000]) {
      t.same((await listAll(listed, { Delimiter: '/', MaxKeys })).sort(), ['[a/]', '[b/]', ...sorted.filter((key) => !key.includes('/'))].sort(), `${MaxKeys} at a time`)
    }
  })
})

t.test('a listed object has size, ETag, date and class', async (t) => {
  const { Contents = [], Name } = await s3.client.send(new ListObjectsV2Command({ Bucket: listed, Prefix: 'a/1' }))
  t.equal(Name, listed)
  t.match(Contents, [{ Key: 'a/1', Size: 3, ETag: `"${createHash('md5').update('a/1').digest('hex')}"`, StorageClass: 'STANDARD' }])
  t.ok(Contents[0]?.LastModified instanceof Date)
})

t.test('encoding-type=url encodes the names', async (t) => {
  const { body } = await raw('GET', listed, '', { query: 'encoding-type=url&list-type=2&prefix=%C3%BC' })
  t.match(body, /<Key>%C3%BC<\/Key>/)
  t.match(body, /<EncodingType>url<\/EncodingType>/)
})

t.test('a wrong parameter of a list is refused', async (t) => {
  for (const query of ['list-type=2&max-keys=x', 'list-type=2&max-keys=-1', 'encoding-type=hex&list-type=2', 'continuation-token=%21&list-type=2', 'list-type=3']) {
    const response = await raw('GET', listed, '', { query })
    if (isEmbedded) t.match(response, { status: 400, code: 'InvalidArgument' }, query)
    else t.ok([200, 400, 500].includes(response.status), query)
  }
})

t.test('ListObjects pages by its marker', async (t) => {
  const found: string[] = []
  let Marker = ''
  for (let page = 0; page < 20; page++) {
    const { Contents = [], IsTruncated } = await s3.client.send(new ListObjectsCommand({ Bucket: listed, MaxKeys: 5, Marker }))
    found.push(...Contents.map(({ Key }) => Key ?? ''))
    if (IsTruncated !== true) break
    Marker = found.at(-1) ?? ''
  }
  t.same(found, sorted)
})

t.test('a list has what was acknowledged, at once', async (t) => {
  const bucket = await s3.createBucket()
  for (const key of ['c', 'a', 'b']) {
    await putAll(bucket, [key])
    t.ok((await listAll(bucket, {})).includes(key))
  }
  await raw('DELETE', bucket, 'b')
  t.same(await listAll(bucket, {}), ['a', 'c'])
})

t.test('DeleteObjects deletes each key and says so, or not', async (t) => {
  const bucket = await s3.createBucket()
  const keys = ['a', 'b<&>', ' c ', 'ü/d']
  await putAll(bucket, keys)
  const { Deleted = [] } = await s3.client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects: [...keys.slice(0, 2), 'missing'].map((Key) => ({ Key })) } }))
  t.same(Deleted.map(({ Key }) => Key).sort(), ['a', 'b<&>', 'missing'])
  const quiet = await s3.client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Quiet: true, Objects: [{ Key: 'ü/d' }] } }))
  t.equal(quiet.Deleted, undefined)
  t.same(await listAll(bucket, {}), [' c '])
})

t.test('DeleteObjects is refused', async (t) => {
  const bucket = await s3.createBucket()
  const md5 = (body: string) => ({ 'content-md5': createHash('md5').update(body).digest('base64') })
  const objects = (count: number): string => `<Delete>${Array.from({ length: count }, (_, index) => `<Object><Key>k${index}</Key></Object>`).join('')}</Delete>`
  const attempt = (body: string, headers: Readonly<Record<string, string>>) => raw('POST', bucket, '', { query: 'delete=', body, headers })
  const rows: Array<[name: string, body: string, headers: Readonly<Record<string, string>>, code: string | undefined]> = [
    ['never for 1,000 keys', objects(1000), md5(objects(1000)), undefined],
    ['for 1,001 keys', objects(1001), md5(objects(1001)), 'MalformedXML'],
    ['for no keys', objects(0), md5(objects(0)), 'MalformedXML'],
    ['for another digest', objects(1), md5(objects(2)), 'BadDigest'],
    ['without a digest', objects(1), {}, 'InvalidRequest'],
    ['for a document with a DOCTYPE', `<!DOCTYPE d>${objects(1)}`, md5(`<!DOCTYPE d>${objects(1)}`), 'MalformedXML']
  ]
  for (const [name, body, headers, code] of rows) {
    await t.test(name, async (t) => {
      const response = await attempt(body, headers)
      if (isEmbedded) t.equal(response.code, code)
      else t.ok([200, 400].includes(response.status))
    })
  }
})

t.test('CORS rules are kept, sent back and deleted', async (t) => {
  const bucket = await s3.createBucket()
  t.match(await raw('GET', bucket, '', { query: 'cors=' }), { status: 404, code: 'NoSuchCORSConfiguration' })
  await s3.client.send(new PutBucketCorsCommand({ Bucket: bucket, CORSConfiguration: { CORSRules: rules } }))
  t.match((await s3.client.send(new GetBucketCorsCommand({ Bucket: bucket }))).CORSRules, isEmbedded ? rules : [{}, {}])
  await s3.client.send(new DeleteBucketCorsCommand({ Bucket: bucket }))
  t.equal((await raw('GET', bucket, '', { query: 'cors=' })).status, 404)
})

const preflights: Array<[name: string, origin: string, method: string, headers: string | undefined, allowOrigin: string | undefined]> = [
  ['an origin, method and headers of one rule', 'https://app.example', 'PUT', 'Content-Type, X-Amz-Meta-A', 'https://app.example'],
  ['an origin that its wildcard covers', 'http://dev.local', 'POST', undefined, 'http://dev.local'],
  ['any origin for GET', 'https://elsewhere.example', 'GET', undefined, '*'],
  ['another origin', 'https://evil.example', 'PUT', undefined, undefined],
  ['an origin that only ends like it', 'https://evil-app.example', 'PUT', undefined, undefined],
  ['another method', 'https://app.example', 'DELETE', undefined, undefined],
  ['a header that no rule has', 'https://app.example', 'PUT', 'content-type, authorization', undefined],
  ['a header that the other rule does not have', 'https://elsewhere.example', 'GET', 'x-amz-date', undefined]
]
t.test('a preflight is answered for', async (t) => {
  for (const [name, origin, method, headers, allowOrigin] of preflights) {
    await t.test(name, async (t) => {
      const response = await send(s3.endpoint, requestFor(s3, 'OPTIONS', cors, 'key', {
        headers: { origin, 'access-control-request-method': method, ...(headers === undefined ? {} : { 'access-control-request-headers': headers }) }
      }))
      t.equal(response.status, allowOrigin === undefined ? 403 : 200)
      // A server may name the origin where AWS says that any is allowed.
      t.equal(response.headers['access-control-allow-origin'], isEmbedded || allowOrigin !== '*' ? allowOrigin : origin)
      if (allowOrigin === undefined) {
        if (isEmbedded) t.equal(response.code, 'AccessForbidden')
        return
      }
      t.match(response.headers['access-control-allow-methods'], new RegExp(method))
      t.match(response.headers['vary'], /Origin/)
      t.equal(response.headers['access-control-max-age'], method === 'GET' ? undefined : '300')
      if (headers !== undefined) t.equal(response.headers['access-control-allow-headers']?.toLowerCase().replaceAll(' ', ''), headers.toLowerCase().replaceAll(' ', ''))
    })
  }
  await t.test('nobody when there are no rules, and not without Origin', async (t) => {
    const headers = { 'access-control-request-method': 'PUT' }
    t.equal((await send(s3.endpoint, requestFor(s3, 'OPTIONS', listed, 'key', { headers: { ...headers, origin: 'https://app.example' } }))).status, 403)
    t.equal((await send(s3.endpoint, requestFor(s3, 'OPTIONS', cors, 'key', { headers }))).status, 400)
  })
})

t.test('a page may read the reply, a refusal as well', async (t) => {
  const put = presign(s3, requestFor(s3, 'PUT', cors, 'page', { body: 'x' }))
  const origin = { origin: 'https://app.example' }
  const stored = await send(s3.endpoint, { ...put, headers: { ...put.headers, ...origin } })
  t.match(stored, { status: 200, headers: { 'access-control-allow-origin': 'https://app.example', 'access-control-expose-headers': 'ETag' } })
  t.match(stored.headers['vary'], /Origin/)
  const refusal = await send(s3.endpoint, { ...put, target: `${put.target}0`, headers: { ...put.headers, ...origin } })
  t.equal(refusal.status, 403)
  if (isEmbedded) t.equal(refusal.headers['access-control-allow-origin'], 'https://app.example')
  const foreign = await send(s3.endpoint, { ...put, headers: { ...put.headers, origin: 'https://evil.example' } })
  t.equal(foreign.headers['access-control-allow-origin'], undefined)
})

t.test('CORS rules that AWS refuses are refused', async (t) => {
  const rule = rules[0]
  if (rule === undefined || !isEmbedded) return t.notOk(isEmbedded)
  const attempt = (change: object) => s3.client.send(new PutBucketCorsCommand({ Bucket: cors, CORSConfiguration: { CORSRules: [{ ...rule, ...change }] } }))
  await t.rejects(attempt({ AllowedOrigins: ['http://*.a.*'] }), { name: 'InvalidRequest' })
  await t.rejects(attempt({ AllowedMethods: ['PATCH'] }), { name: 'InvalidRequest' })
  await t.rejects(attempt({ AllowedHeaders: ['*-*'] }), { name: 'InvalidRequest' })
  await t.rejects(attempt({ AllowedOrigins: [] }), { name: 'MalformedXML' })
})

t.test('lifecycle rules are kept and sent back', async (t) => {
  const bucket = await s3.createBucket()
  const Rules = [{ ID: 'abort', Status: 'Enabled' as const, Filter: { Prefix: '' }, AbortIncompleteMultipartUpload: { DaysAfterInitiation: 2 } }]
  t.match(await raw('GET', bucket, '', { query: 'lifecycle=' }), { status: 404, code: 'NoSuchLifecycleConfiguration' })
  await s3.client.send(new PutBucketLifecycleConfigurationCommand({ Bucket: bucket, LifecycleConfiguration: { Rules } }))
  t.match((await s3.client.send(new GetBucketLifecycleConfigurationCommand({ Bucket: bucket }))).Rules, [{ ID: 'abort', Status: 'Enabled', AbortIncompleteMultipartUpload: { DaysAfterInitiation: 2 } }])
  if (isEmbedded) {
    t.equal((await raw('DELETE', bucket, '', { query: 'lifecycle=' })).status, 204)
    t.equal((await raw('GET', bucket, '', { query: 'lifecycle=' })).status, 404)
  }
})

t.test('what the embedded store does not have it refuses by name', async (t) => {
  if (!isEmbedded) return t.notOk(isEmbedded)
  for (const [method, key, query] of [['GET', '', 'versioning='], ['PUT', '', 'policy='], ['GET', '', 'versions='], ['GET', 'a', 'tagging='], ['GET', 'a', 'versionId=1'], ['PUT', 'a', 'acl=']] as const) {
    t.match(await raw(method, listed, key, { query }), { status: 501, code: 'NotImplemented' }, `${method} ${query}`)
  }
  t.match(await raw('POST', listed, 'a'), { status: 405, code: 'MethodNotAllowed' })
  t.match(await raw('PUT', listed, 'sse', { headers: { 'x-amz-server-side-encryption': 'AES256' } }), { status: 501, code: 'NotImplemented' })
})

t.test('a bucket may be named in the host', async (t) => {
  const port = new URL(s3.endpoint).port
  const request = { ...requestFor(s3, 'GET', listed, ''), target: '/a/1', headers: { host: `${listed}.localhost:${port}` } }
  t.match(await sendSigned(s3, request), { status: 200, body: 'a/1' })
  t.match(await sendSigned(s3, { ...request, headers: { host: hostOf(s3.endpoint) } }), { status: 404, code: 'NoSuchBucket' })
})
