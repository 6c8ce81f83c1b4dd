import { CompleteMultipartUploadCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { XMLParser } from 'fast-xml-parser'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import type { PresignPut } from '../../src/object-storage/object-storage.js'
import { joinObjectStorages } from '../../src/object-storage/buckets.js'
import { createS3ObjectStorage } from '../../src/object-storage/s3.js'
import { crc32Base64, png, sha256Base64 } from '../helpers/samples.js'
import { s3Code, send, type Presigned } from '../helpers/send.js'
import { startTestS3 } from '../helpers/s3.js'

// The contract of the port, on whatever store the tests run: the embedded one, or the server of TEST_S3_ENDPOINT.
const s3 = await startTestS3(t)
process.env['AWS_ACCESS_KEY_ID'] = s3.credentials.accessKeyId
process.env['AWS_SECRET_ACCESS_KEY'] = s3.credentials.secretAccessKey
const storage = createS3ObjectStorage({ region: s3.region, endpoint: s3.endpoint, forcePathStyle: true })
t.teardown(() => storage.close())
const bucket = await s3.createBucket()
const bytes = png()
let counter = 0
const at = () => ({ bucket, key: `contract/${counter++}` })
const put: Omit<PresignPut, 'bucket' | 'key'> = { contentType: 'image/png', sizeBytes: bytes.length, checksum: null, signedAt: new Date(), expiresInSeconds: 600 }
const get = { method: 'GET' as const, contentType: 'image/png', contentDisposition: 'attachment; filename="a.png"', signedAt: new Date(), expiresInSeconds: 600 }

t.test('a presigned PUT stores exactly what it binds, once', async t => {
  const location = at()
  const presigned = await storage.presignPut({ ...location, ...put })
  t.equal((await send(presigned, bytes)).status, 200)
  t.match(await storage.headObject(location), { sizeBytes: bytes.length, contentType: 'image/png', etag: /^".+"$/, unsignedHeaders: [] })
  t.equal((await send(presigned, bytes)).status, 412)
})

t.test('eight PUTs at once: one is stored', async t => {
  const presigned = await storage.presignPut({ ...at(), ...put })
  const statuses = await Promise.all(Array.from({ length: 8 }, async () => (await send(presigned, bytes)).status))
  t.equal(statuses.filter(status => status === 200).length, 1)
  t.ok(statuses.every(status => [200, 409, 412].includes(status)), statuses.join())
})

t.test('keys of every legal character survive the signature', async t => {
  for (const name of ['a b', 'ü', 'a+b', "!*'()~", 'a&b=c', '%2f', 'a;b,c', '日本', 'a:b@c']) {
    const location = { bucket, key: `keys/${name}` }
    t.equal((await send(await storage.presignPut({ ...location, ...put }), bytes)).status, 200, name)
    t.ok(await storage.headObject(location), name)
  }
})

t.test('a presigned GET and HEAD carry the type and the disposition that were signed', async t => {
  const location = at()
  await send(await storage.presignPut({ ...location, ...put }), bytes)
  const sent = await send(await storage.presignGet({ ...location, ...get, contentDisposition: "attachment; filename=\"a.png\"; filename*=UTF-8''%C3%A4.png" }))
  t.strictSame(sent.body, bytes)
  t.match(sent.headers, { 'content-type': 'image/png', 'content-disposition': /%C3%A4/, 'cache-control': 'private, max-age=600' })
  t.equal((await send(await storage.presignGet({ ...location, ...get, method: 'HEAD' }))).status, 200)
})

t.test('expiry is told in whole seconds from the time of signing, and the store keeps to it', async t => {
  const signedAt = new Date(Math.floor(Date.now() / 1000) * 1000 - 100_000 + 999)
  const fresh = await storage.presignPut({ ...at(), ...put, signedAt, expiresInSeconds: 3600 })
  t.equal(fresh.expiresAt.getTime(), signedAt.getTime() - 999 + 3_600_000)
  t.equal((await send(fresh, bytes)).status, 200)
  const over = await storage.presignPut({ ...at(), ...put, signedAt, expiresInSeconds: 99 })
  t.equal((await send(over, bytes)).status, 403)
})

t.test('T21: nothing can be added to a URL or taken out of it', async t => {
  const location = at()
  await send(await storage.presignPut({ ...location, ...put }), bytes)
  const presigned = await storage.presignGet({ ...location, ...get })
  const change = (edit: (url: URL) => void): Presigned => {
    const url = new URL(presigned.url)
    edit(url)
    return { ...presigned, url: url.href }
  }
  for (const [name, changed] of [
    ['another key', change(url => { url.pathname += 'x' })],
    ['a longer life', change(url => url.searchParams.set('X-Amz-Expires', '601'))],
    ['another type', change(url => url.searchParams.set('response-content-type', 'text/html'))],
    ['one more override', change(url => url.searchParams.set('response-content-language', 'en'))],
    ['no cache rule', change(url => url.searchParams.delete('response-cache-control'))],
    ['another signature', change(url => url.searchParams.set('X-Amz-Signature', '0'.repeat(64)))]
  ] as const) {
    const sent = await send(changed)
    t.equal(sent.status, 403, `${name}: ${s3Code(sent)}`)
  }
  t.equal((await send({ ...presigned, method: 'DELETE' })).status, 403)
})

t.test('a missing object is null, and deleting it is done', async t => {
  const location = at()
  t.equal(await storage.headObject(location), null)
  t.equal(await storage.readFirstBytes(location, '"x"', 10), null)
  await storage.deleteObject(location)
})

t.test('first bytes are those of the version asked for', async t => {
  const location = at()
  await send(await storage.presignPut({ ...location, ...put }), bytes)
  const { etag } = await storage.headObject(location) ?? { etag: '' }
  t.strictSame(Buffer.from(await storage.readFirstBytes(location, etag, 8) ?? []), bytes.subarray(0, 8))
  t.strictSame(Buffer.from(await storage.readFirstBytes(location, etag, 4096) ?? []), bytes, 'fewer when there are no more')
  await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key: location.key, Body: 'other' }))
  t.equal(await storage.readFirstBytes(location, etag, 8), null, 'null when it has changed')
})

t.test('T20: headers that nobody signed are told', async t => {
  const location = at()
  await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key: location.key, Body: bytes, ContentType: 'image/png', ContentEncoding: 'gzip', ContentLanguage: 'en', CacheControl: 'max-age=60', ContentDisposition: 'inline', Metadata: { a: 'b' } }))
  t.same([...(await storage.headObject(location))?.unsignedHeaders ?? []].sort(), ['cache-control', 'content-disposition', 'content-encoding', 'content-language', 'x-amz-meta-a'])
})

t.test('the cache rule that fetch adds to a create-only PUT is no such header', async t => {
  const location = at()
  const { url, method, headers } = await storage.presignPut({ ...location, ...put })
  t.equal((await fetch(url, { method, headers, body: new Uint8Array(bytes) })).status, 200)
  t.match(await storage.headObject(location), { sizeBytes: bytes.length, unsignedHeaders: [] })
  await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key: location.key, Body: bytes, CacheControl: 'max-age=0' }))
  t.match(await storage.headObject(location), { unsignedHeaders: [] })
})

t.test('a SHA-256 is bound as a header that must be sent', async t => {
  const location = at()
  const presigned = await storage.presignPut({ ...location, ...put, checksum: { algorithm: 'SHA256', value: sha256Base64(bytes) } })
  t.equal((await send(presigned, bytes, { 'x-amz-checksum-sha256': undefined })).status, 403)
  t.equal((await send(presigned, bytes, { 'x-amz-checksum-sha256': sha256Base64(Buffer.from('x')) })).status, 403)
  t.equal((await send(presigned, bytes)).status, 200)
  const sha256 = async (at: typeof location) => (await storage.headObject(at))?.checksums.find(({ algorithm }) => algorithm === 'SHA256')?.value
  const kept = await sha256(location)
  // Whether a store keeps checksums is asked once, with a plain PUT; this port then tells what the store says.
  const probe = at()
  await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key: probe.key, Body: bytes, ChecksumSHA256: sha256Base64(bytes) }))
  const isKept = await sha256(probe) !== undefined
  t.equal(kept, isKept ? sha256Base64(bytes) : undefined)
  if (isKept) {
    const wrong = await storage.presignPut({ ...at(), ...put, checksum: { algorithm: 'SHA256', value: sha256Base64(Buffer.from('x')) } })
    t.equal(s3Code(await send(wrong, bytes)), 'BadDigest')
  }
})

t.test('where a store keeps no checksums, a SHA-256 is bound by the hash of the payload', async t => {
  const binding = createS3ObjectStorage({ region: s3.region, endpoint: s3.endpoint, forcePathStyle: true, bindsPayload: true })
  t.teardown(() => binding.close())
  const checksum = { algorithm: 'SHA256', value: sha256Base64(bytes) } as const
  const location = at()
  const presigned = await binding.presignPut({ ...location, ...put, checksum })
  t.equal(presigned.headers['x-amz-content-sha256'], Buffer.from(checksum.value, 'base64').toString('hex'))
  const other = Buffer.from(bytes)
  other[other.length - 1]! ^= 1
  const refused = await send(presigned, other)
  t.ok(refused.status >= 400, `${refused.status} ${s3Code(refused)}`)
  t.equal(await storage.headObject(location), null)
  t.equal((await send(presigned, bytes)).status, 200)
})

t.test('the checksums of AWS go into a PUT one by one', async t => {
  for (const [algorithm, value] of [['CRC32', crc32Base64(bytes)], ['SHA256', sha256Base64(bytes)]] as const) {
    const presigned = await storage.presignPut({ ...at(), ...put, checksum: { algorithm, value } })
    t.equal(presigned.headers[`x-amz-checksum-${algorithm.toLowerCase()}`], value)
    t.equal((await send(presigned, bytes)).status, 200)
  }
})

t.test('URLs are signed for the public endpoint, and calls go to the other', async t => {
  const { port } = new URL(s3.endpoint)
  const twoSided = createS3ObjectStorage({ region: s3.region, endpoint: s3.endpoint, publicEndpoint: `http://localhost:${port}`, forcePathStyle: true })
  t.teardown(() => twoSided.close())
  const location = at()
  const presigned = await twoSided.presignPut({ ...location, ...put })
  t.equal(new URL(presigned.url).host, `localhost:${port}`)
  t.equal((await send(presigned, bytes)).status, 200)
  t.ok(await twoSided.headObject(location))
  const form = await twoSided.presignPost({ ...location, contentType: 'image/png', minSizeBytes: 0, maxSizeBytes: 10, checksum: null, signedAt: new Date(), expiresInSeconds: 60 })
  t.equal(new URL(form.url).host, `localhost:${port}`)
})

t.test('several stores are one port: each call goes to the one that has the bucket', async t => {
  const other = await s3.createBucket()
  const down = createS3ObjectStorage({ region: s3.region, endpoint: 'http://127.0.0.1:1', forcePathStyle: true })
  t.teardown(() => down.close())
  const joined = joinObjectStorages(down, new Map([[other, storage]]))
  const location = { bucket: other, key: 'a' }
  t.equal((await send(await joined.presignPut({ ...location, ...put }), bytes)).status, 200)
  t.ok(await joined.headObject(location))
  t.equal(await joined.isReachable(other), true)
  t.equal(await joined.isReachable(bucket), false)
})

t.test('a copy carries the bytes and the type, and nothing else that was stored', async t => {
  const from = at()
  await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key: from.key, Body: bytes, ContentType: 'text/html', CacheControl: 'max-age=60', Metadata: { a: 'b' } }))
  const source = await storage.headObject(from)
  const to = at()
  t.ok(await storage.copyObject(from, to.key, { etag: source?.etag ?? '', contentType: 'image/png' }))
  t.match(await storage.headObject(to), { sizeBytes: bytes.length, contentType: 'image/png', unsignedHeaders: [] })
  t.equal(await storage.copyObject(at(), to.key, { etag: '"x"', contentType: 'image/png' }), null, 'null when there is no source')
})

t.test('a presigned DELETE deletes, as often as it is sent', async t => {
  const location = at()
  await send(await storage.presignPut({ ...location, ...put }), bytes)
  const presigned = await storage.presignDelete({ ...location, signedAt: new Date(), expiresInSeconds: 60 })
  t.equal((await send(presigned)).status, 204)
  t.equal((await send(presigned)).status, 204)
  t.equal(await storage.headObject(location), null)
})

const failedInside = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>InternalError</Code><Message>We encountered an internal error. Please try again.</Message></Error>'
t.test('F13: 200 with an error inside is no success of a copy: it is tried again', async t => {
  let calls = 0
  const { faulty } = await startFaulty(t, (_, reply) => { reply.writeHead(200, { 'content-type': 'application/xml' }).end(++calls < 3 ? failedInside : '<CopyObjectResult><ETag>"e"</ETag></CopyObjectResult>') })
  t.match(await faulty.copyObject(at(), 'b', { etag: '"e"', contentType: 'a/b' }), { etag: '"e"' })
  t.equal(calls, 3)
})

t.test('F13: 200 with an error inside is no success of a completion, either', async t => {
  const { faulty, count } = await startFaulty(t, (_, reply) => { reply.writeHead(200, { 'content-type': 'application/xml' }).end(failedInside) })
  await t.rejects(faulty.completeMultipartUpload(at(), 'id', [{ partNumber: 1, etag: '"e"', sizeBytes: 1, checksums: [] }], null), { code: 'OBJECT_STORAGE_ERROR' })
  t.equal(count(), 3)
})

t.test('the parts of a completion are what the SDK would have written of them', async t => {
  const parts = Array.from({ length: 10_000 }, (_, index) => ({
    partNumber: index + 1,
    etag: index === 0 ? '"a<b>&amp;\'"' : `"${index}"`,
    sizeBytes: 5,
    checksums: index % 2 === 0 ? [] : [{ algorithm: 'CRC32' as const, value: 'AAAAAA==' }, { algorithm: 'SHA256' as const, value: sha256Base64(Buffer.from(`${index}`)) }]
  }))
  const bodies: string[] = []
  const { faulty, url } = await startFaulty(t, async (request, reply) => {
    const body = await text(request)
    t.equal(Number(request.headers['content-length']), Buffer.byteLength(body))
    t.equal(request.headers['content-type'], 'application/xml')
    bodies.push(body)
    reply.writeHead(200, { 'content-type': 'application/xml' }).end('<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>')
  })
  t.equal(await faulty.completeMultipartUpload({ bucket: 'b', key: 'k' }, 'id', parts, null), 'completed')
  const client = new S3Client({ endpoint: url, region: 'us-east-1', forcePathStyle: true, credentials: { accessKeyId: 'a', secretAccessKey: 'b' } })
  const Parts = parts.map(({ partNumber, etag, checksums }) => ({ PartNumber: partNumber, ETag: etag, ...Object.fromEntries(checksums.map(({ algorithm, value }) => [`Checksum${algorithm}`, value])) }))
  await client.send(new CompleteMultipartUploadCommand({ Bucket: 'b', Key: 'k', UploadId: 'id', MultipartUpload: { Parts } }))
  const [own, sdk] = bodies.map(body => new XMLParser({ ignoreDeclaration: true, ignoreAttributes: false, parseTagValue: false }).parse(body) as object)
  t.strictSame(own, sdk)
})

t.test('parts are listed through all pages', async t => {
  const pages = 10
  const { faulty, count } = await startFaulty(t, (request, reply) => {
    const marker = Number(new URL(request.url ?? '', 'http://h').searchParams.get('part-number-marker') ?? 0)
    const parts = Array.from({ length: 1000 }, (_, index) => `<Part><PartNumber>${marker + index + 1}</PartNumber><ETag>"e"</ETag><Size>5</Size></Part>`).join('')
    reply.writeHead(200, { 'content-type': 'application/xml' }).end(`<ListPartsResult><IsTruncated>${marker < (pages - 1) * 1000}</IsTruncated><NextPartNumberMarker>${marker + 1000}</NextPartNumberMarker>${parts}</ListPartsResult>`)
  })
  const parts = await faulty.listParts(at(), 'id')
  t.equal(parts?.length, 10_000)
  t.equal(parts?.at(-1)?.partNumber, 10_000)
  t.equal(count(), pages)
})

t.test('a bucket is reachable, or it is not', async t => {
  t.equal(await storage.isReachable(bucket), true)
  t.equal(await storage.isReachable('no-such-bucket-here'), false)
})

t.test('a virtual-hosted URL has the bucket in its host', async t => {
  const hosted = createS3ObjectStorage({ region: 'eu-central-1', forcePathStyle: false })
  const { url } = await hosted.presignPut({ bucket: 'my-bucket', key: 'a/b.png', ...put })
  t.equal(new URL(url).origin, 'https://my-bucket.s3.eu-central-1.amazonaws.com')
  t.equal(new URL(url).pathname, '/a/b.png')
  hosted.close()
})

const faults: ReadonlyArray<[name: string, listener: RequestListener, requests: number]> = [
  ['F14: 500 on everything is tried three times', (_, reply) => reply.writeHead(500).end(), 3],
  ['F14: SlowDown is tried three times', (_, reply) => reply.writeHead(503).end('<Error><Code>SlowDown</Code></Error>'), 3],
  ['F16: 403 on HEAD is no missing object', (_, reply) => reply.writeHead(403).end(), 1],
  ['F38: refused credentials are no missing object', (_, reply) => reply.writeHead(403).end('<Error><Code>InvalidAccessKeyId</Code></Error>'), 1],
  ['a connection that breaks is tried three times', request => request.socket.destroy(), 3]
]
for (const [name, listener, requests] of faults) {
  t.test(`${name}, and is an error that decides nothing`, async t => {
    const { faulty, count } = await startFaulty(t, listener)
    await t.rejects(faulty.headObject(at()), { code: 'OBJECT_STORAGE_ERROR', status: 502, retryAfterSeconds: Number })
    t.equal(count(), requests)
  })
}

t.test('F14: two faults and then an answer is an answer', async t => {
  let calls = 0
  const { faulty } = await startFaulty(t, (_, reply) => { reply.writeHead(++calls < 3 ? 503 : 200, { etag: '"e"', 'content-length': '0', 'content-type': 'image/png' }).end() })
  t.match(await faulty.headObject(at()), { etag: '"e"' })
})

t.test('F15: a store that never answers is given up within ten seconds, and signing goes on', async t => {
  const { faulty } = await startFaulty(t, () => {})
  const limits = t.capture(AbortSignal, 'timeout', AbortSignal.timeout)
  const hanging = t.rejects(faulty.headObject(at()), { code: 'OBJECT_STORAGE_ERROR' })
  t.match(await faulty.presignPut({ ...at(), ...put }), { method: 'PUT' })
  await hanging
  t.ok(limits().every(({ args: [milliseconds] }) => milliseconds <= 10_000))
})

t.test('F37 T27: a URL never promises to outlive its credentials', async t => {
  const expiration = new Date(Date.now() + 120_000)
  let clamped = 0
  const short = createS3ObjectStorage({ region: 'us-east-1', endpoint: s3.endpoint, forcePathStyle: true, credentials: async () => ({ ...s3.credentials, expiration }), onClamp: () => { clamped++ } })
  await short.presignPut({ ...at(), ...put, signedAt: new Date(), expiresInSeconds: 60 })
  t.equal(clamped, 0)
  const { url, expiresAt } = await short.presignPut({ ...at(), ...put, signedAt: new Date(), expiresInSeconds: 900 })
  t.equal(clamped, 1, 'and that is told')
  t.ok(expiresAt <= expiration)
  t.ok(Number(new URL(url).searchParams.get('X-Amz-Expires')) <= 120)
  await t.rejects(short.presignPut({ ...at(), ...put, signedAt: new Date(expiration.getTime() - 59_000), expiresInSeconds: 900 }), { code: 'NOT_READY', status: 503 })
  short.close()
})

t.test('a GET of a window begins with it, ends with its credentials, and changes with them', async t => {
  const window = 300_000
  const begin = Math.floor(Date.now() / window) * window
  const expiration = new Date(begin + 200_000)
  let clamped = 0
  let sessionToken = 'first'
  const storage = createS3ObjectStorage({ region: 'us-east-1', endpoint: s3.endpoint, forcePathStyle: true, credentials: async () => ({ ...s3.credentials, sessionToken, expiration }), onClamp: () => { clamped++ } })
  t.teardown(() => storage.close())
  const ask = async (time: number) => await storage.presignGet({ bucket, key: 'k', ...get, signedAt: new Date(time), expiresInSeconds: 900, windowSeconds: 300 })
  const { url, expiresAt } = await ask(begin + 140_000)
  t.equal(url, (await ask(begin)).url)
  t.match(url, 'X-Amz-Security-Token=first')
  t.equal(expiresAt.getTime(), expiration.getTime())
  t.equal(new URL(url).searchParams.get('X-Amz-Expires'), '200', 'counted from the beginning of the window')
  t.equal(clamped, 2)
  await t.rejects(ask(begin + 141_000), { code: 'NOT_READY' }, 'what is left counts from now')
  const { url: before } = await ask(begin - 1)
  t.match(new URL(before).searchParams.get('X-Amz-Expires'), '500')
  sessionToken = 'second'
  t.match((await ask(begin)).url, 'X-Amz-Security-Token=second')
})

async function startFaulty (t: Test, listener: (request: IncomingMessage, reply: ServerResponse) => unknown) {
  let requests = 0
  const server = createServer((request, reply) => {
    requests++
    listener(request, reply)
  })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const faulty = createS3ObjectStorage({ region: 'us-east-1', endpoint: url, forcePathStyle: true })
  t.teardown(() => {
    faulty.close()
    server.closeAllConnections()
    server.close()
  })
  return { faulty, url, count: () => requests }
}
