import { createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'

import {
  CopyObjectCommand, DeleteObjectCommand, GetObjectCommand, HeadObjectCommand, NoSuchKey, PutObjectCommand, type PutObjectCommandInput
} from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import t from 'tap'

import { startTestS3 } from '../../helpers/s3.js'
import { measureCapabilities } from './fixtures/capabilities.js'
import { presign, requestFor, send, sendSigned, type Sending } from './fixtures/send.js'

const s3 = await startTestS3(t)
const bucket = await s3.createBucket()
const capabilities = await measureCapabilities(s3)
const isEmbedded = s3.kind === 'embedded'

async function put (key: string, body: string | Buffer = 'hello', input: Partial<PutObjectCommandInput> = {}) {
  return await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body, ...input }))
}

async function read (key: string, from = bucket): Promise<string> {
  const { Body } = await s3.client.send(new GetObjectCommand({ Bucket: from, Key: key }))
  return await Body?.transformToString() ?? ''
}

async function isAbsent (key: string): Promise<boolean> {
  return (await sendSigned(s3, requestFor(s3, 'HEAD', bucket, key))).status === 404
}

function raw (method: string, key: string, sending: Sending = {}) {
  return sendSigned(s3, requestFor(s3, method, bucket, key, sending))
}

function digest (algorithm: string, data: string | Buffer, encoding: 'hex' | 'base64' = 'hex'): string {
  return createHash(algorithm).update(data).digest(encoding)
}

// Everything that is awaited here comes before the first test: a test file ends when its tests are done.
await put('ranged', '0123456789')
await put('source', '0123456789')
await put('empty', '')

t.test('the embedded store does everything that AWS documents', async (t) => {
  if (isEmbedded) for (const [name, has] of Object.entries(capabilities)) t.ok(has, name)
  t.ok(Object.keys(capabilities).length > 0)
})

t.test('an object comes back as it was put, under any key:', async (t) => {
  const keys = ['plain.txt', 'a/b/c', 'a//b', '../up', 'a/../b', './dot', 'space and +', 'ünï/日本/😀', '100%', 'q?x=1&y#z', '%2e%2e%2f', 'UPPER', 'upper', 'quote"<>\'', 'k'.repeat(1024), 'ü'.repeat(512)]
  for (const [index, key] of keys.entries()) {
    await t.test(key.slice(0, 40), async (t) => {
      const body = `body ${index}`
      await put(key, body)
      t.equal((await raw('GET', key)).body, body)
    })
  }
  for (const [index, key] of keys.entries()) t.equal((await raw('GET', key)).body, `body ${index}`, 'and no key has overwritten another')
})

t.test('a key of 1,025 bytes is refused', async (t) => {
  t.match(await raw('PUT', 'k'.repeat(1025), { body: '' }), { status: 400, code: isEmbedded ? 'KeyTooLongError' : /KeyTooLong|InvalidObjectName/ })
})

t.test('keeps the headers that describe an object', async (t) => {
  const headers = {
    'content-type': 'text/x-a; charset=utf-8',
    'content-encoding': 'gzip',
    'content-language': 'de',
    'content-disposition': 'attachment; filename="a.txt"',
    'cache-control': 'max-age=60',
    expires: 'Wed, 21 Oct 2026 07:28:00 GMT',
    'x-amz-meta-color': 'red',
    'x-amz-meta-two': 'a, b'
  }
  const { status, headers: { etag } } = await raw('PUT', 'described', { body: 'hello', headers })
  t.equal(status, 200)
  t.equal(etag, `"${digest('md5', 'hello')}"`)
  const head = await raw('HEAD', 'described')
  t.match(head.headers, { ...headers, etag: `"${digest('md5', 'hello')}"`, 'content-length': '5', 'accept-ranges': 'bytes' })
  t.ok(Date.parse(head.headers['last-modified'] ?? '') > 0)
  t.equal(head.body, '')
})

t.test('an object without a type is binary/octet-stream', async (t) => {
  await raw('PUT', 'untyped', { body: 'x' })
  t.equal((await raw('HEAD', 'untyped')).headers['content-type'], 'binary/octet-stream')
})

t.test('a second PUT replaces everything of the first', async (t) => {
  await put('replaced', 'one', { ContentType: 'text/plain', Metadata: { a: 'b' } })
  await put('replaced', 'three')
  const head = await raw('GET', 'replaced')
  t.equal(head.body, 'three')
  t.equal(head.headers['x-amz-meta-a'], undefined)
})

t.test('a missing object or bucket has a code, and HEAD no body', async (t) => {
  t.match(await raw('GET', 'missing'), { status: 404, code: 'NoSuchKey' })
  t.match(await raw('HEAD', 'missing'), { status: 404, body: '' })
  t.match(await sendSigned(s3, requestFor(s3, 'GET', 'no-such-bucket-here', 'x')), { status: 404, code: 'NoSuchBucket' })
  await t.rejects(s3.client.send(new GetObjectCommand({ Bucket: bucket, Key: 'missing' })), NoSuchKey)
})

t.test('an error document names code, message and request', async (t) => {
  const { body, headers } = await raw('GET', 'missing')
  t.match(headers['content-type'], /^application\/xml/)
  for (const name of ['Code', 'RequestId']) t.match(body, new RegExp(`<${name}>[^<]+</${name}>`))
  t.ok(headers['x-amz-request-id'])
  t.ok(Date.parse(headers['date'] ?? '') > 0)
})

t.test('DELETE is a success each time', async (t) => {
  await put('deleted')
  for (let time = 0; time < 2; time++) t.equal((await raw('DELETE', 'deleted')).status, 204)
  t.ok(await isAbsent('deleted'))
  t.equal((await s3.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: 'deleted' }))).$metadata.httpStatusCode, 204)
})

const ranges: Array<[range: string, key: string, status: number, body: string | undefined, contentRange?: string]> = [
  ['bytes=0-0', 'ranged', 206, '0', 'bytes 0-0/10'],
  ['bytes=2-4', 'ranged', 206, '234', 'bytes 2-4/10'],
  ['bytes=8-', 'ranged', 206, '89', 'bytes 8-9/10'],
  ['bytes=8-100', 'ranged', 206, '89', 'bytes 8-9/10'],
  ['bytes=-3', 'ranged', 206, '789', 'bytes 7-9/10'],
  ['bytes=-100', 'ranged', 206, '0123456789', 'bytes 0-9/10'],
  ['bytes=10-', 'ranged', 416, undefined],
  ['bytes=-0', 'ranged', ...(capabilities.emptySuffixRefused ? [416, undefined] as const : [206, '0123456789', 'bytes 0-9/10'] as const)],
  ['bytes=0-0', 'empty', 416, undefined],
  ['bytes=0-4095', 'empty', 416, undefined]
]
t.test('a range is served or refused (F17):', async (t) => {
  for (const [range, key, status, body, contentRange] of ranges) {
    await t.test(`${range} of ${key}`, async (t) => {
      const response = await raw('GET', key, { headers: { range } })
      t.equal(response.status, status)
      if (body === undefined) t.equal(response.code, 'InvalidRange')
      else {
        t.equal(response.body, body)
        t.equal(response.headers['content-range'], contentRange)
        t.equal(response.headers['content-length'], String(body.length))
      }
    })
  }
  t.match(await raw('GET', 'empty'), { status: 200, body: '' })
  t.match(await raw('GET', 'ranged', { headers: { range: 'lines=1-2' } }), { status: 200, body: '0123456789' })
})

const etag = `"${digest('md5', '0123456789')}"`
const otherEtag = `"${digest('md5', 'other')}"`
const past = new Date(Date.now() - 86_400_000).toUTCString()
const future = new Date(Date.now() + 86_400_000).toUTCString()
const conditions: Array<[name: string, headers: Record<string, string>, status: number]> = [
  ['If-Match that matches', { 'if-match': etag }, 200],
  ['If-Match of another (F18)', { 'if-match': otherEtag }, 412],
  ['If-None-Match that matches', { 'if-none-match': etag }, 304],
  ['If-None-Match of another', { 'if-none-match': otherEtag }, 200],
  ['If-Modified-Since before', { 'if-modified-since': past }, 200],
  ['If-Unmodified-Since after', { 'if-unmodified-since': future }, 200],
  ['If-Unmodified-Since before', { 'if-unmodified-since': past }, 412],
  ['If-Match that matches, If-Unmodified-Since before', { 'if-match': etag, 'if-unmodified-since': past }, 200],
  ['If-None-Match of another, If-Modified-Since after', { 'if-none-match': otherEtag, 'if-modified-since': new Date(Date.now() - 1000).toUTCString() }, 200]
]
t.test('a read is conditional:', async (t) => {
  for (const [name, headers, status] of conditions) {
    await t.test(name, async (t) => {
      for (const method of ['GET', 'HEAD']) t.equal((await raw(method, 'ranged', { headers })).status, status, method)
    })
  }
})

t.test('a signed request may override the headers of the reply', async (t) => {
  const query = 'response-content-type=text%2Fx&response-content-disposition=attachment%3B%20filename%3D%22b%22&response-cache-control=no-store&response-content-language=fr&response-content-encoding=identity&response-expires=0'
  const { headers } = await send(s3.endpoint, presign(s3, requestFor(s3, 'GET', bucket, 'ranged', { query })))
  t.match(headers, { 'content-type': 'text/x', 'content-disposition': 'attachment; filename="b"', 'cache-control': 'no-store', 'content-language': 'fr', 'content-encoding': 'identity', expires: '0' })
})

t.test('If-None-Match: * creates once (T24)', async (t) => {
  t.equal((await raw('PUT', 'once', { body: 'first', headers: { 'if-none-match': '*' } })).status, 200)
  t.match(await raw('PUT', 'once', { body: 'second', headers: { 'if-none-match': '*' } }), { status: 412, code: 'PreconditionFailed' })
  t.equal(await read('once'), 'first')
})

t.test('of PUTs that race to create a key exactly one wins (T24)', async (t) => {
  for (let round = 0; round < 5; round++) {
    const key = `race ${round}`
    const bodies = Array.from({ length: 8 }, (_, index) => `${index}`.repeat(70_000))
    const statuses = await Promise.all(bodies.map(async (body) => (await raw('PUT', key, { body, headers: { 'if-none-match': '*' } })).status))
    t.same(statuses.filter((status) => status === 200).length, 1)
    t.ok(statuses.every((status) => status === 200 || status === 412 || status === 409), statuses.join())
    t.equal(await read(key), bodies[statuses.indexOf(200)])
  }
})

t.test('If-Match replaces only the version that it names', async (t) => {
  await put('matched', 'one')
  const other = await raw('PUT', 'matched', { body: 'two', headers: { 'if-match': otherEtag } })
  t.equal(other.status, capabilities.ifMatchRefusesPut ? 412 : 200)
  const before = await read('matched')
  t.equal(before, capabilities.ifMatchRefusesPut ? 'one' : 'two')
  const response = await raw('PUT', 'matched', { body: 'three', headers: { 'if-match': `"${digest('md5', before)}"` } })
  t.equal(response.status, capabilities.ifMatchAllowsPut ? 200 : 412)
  t.equal(await read('matched'), capabilities.ifMatchAllowsPut ? 'three' : before)
})

t.test('a reader of a replaced or deleted object gets one version to its end', async (t) => {
  const versions = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(3_000_000))
  await put('versions', versions[0])
  const reads = Array.from({ length: 6 }, async () => {
    const body = (await raw('GET', 'versions')).body
    return versions.includes(body) || body.includes('NoSuchKey')
  })
  await setImmediate()
  for (const version of versions) await put('versions', version)
  await raw('DELETE', 'versions')
  t.same(await Promise.all(reads), Array.from({ length: 6 }, () => true))
})

const checksums: Array<[algorithm: string, ofHello: string]> = [
  ['crc32', 'NhCmhg=='],
  ['crc32c', 'mnG7TA=='],
  ['crc64nvme', 'M3eFcAZSQlc='],
  ['sha1', digest('sha1', 'hello', 'base64')],
  ['sha256', digest('sha256', 'hello', 'base64')]
]
t.test('a checksum is verified, kept and sent back:', async (t) => {
  for (const [algorithm, value] of checksums) {
    const name = `x-amz-checksum-${algorithm}`
    await t.test(`${algorithm} in a header`, async (t) => {
      t.equal((await raw('PUT', name, { body: 'hello', headers: { [name]: value } })).status, 200)
      const kept = await raw('HEAD', name, { headers: { 'x-amz-checksum-mode': 'ENABLED' } })
      t.equal(kept.headers[name], capabilities.checksumsKept ? value : undefined)
      t.equal(kept.headers['x-amz-checksum-type'], capabilities.checksumsKept ? 'FULL_OBJECT' : undefined)
      t.equal((await raw('HEAD', name)).headers[name], undefined, 'only when asked for')
      const wrong = await raw('PUT', `wrong ${name}`, { body: 'hellp', headers: { [name]: value } })
      t.equal(wrong.code, capabilities.checksumsKept ? 'BadDigest' : undefined)
      t.equal(await isAbsent(`wrong ${name}`), capabilities.checksumsKept)
    })
    await t.test(`${algorithm} in a trailer`, async (t) => {
      const trailing = (body: string, checksum: string) => sendSigned(s3, requestFor(s3, 'PUT', bucket, `trailing ${name}`, {
        body: `${body.length.toString(16)}\r\n${body}\r\n0\r\n${name}:${checksum}\r\n\r\n`,
        headers: { 'content-encoding': 'aws-chunked', 'x-amz-decoded-content-length': String(body.length), 'x-amz-trailer': name }
      }), { payloadHash: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER' })
      if (!capabilities.checksumsKept) {
        t.ok((await trailing('hello', value)).status >= 200, 'a server without checksums may do as it likes')
        return
      }
      t.equal((await trailing('hellp', value)).code, 'BadDigest')
      t.ok(await isAbsent(`trailing ${name}`))
      t.equal((await trailing('hello', value)).status, 200)
      const kept = await raw('GET', `trailing ${name}`, { headers: { 'x-amz-checksum-mode': 'ENABLED' } })
      t.equal(kept.headers[name], value)
      t.equal(kept.body, 'hello')
    })
  }
})

const digests: Array<[name: string, headers: Record<string, string>, code: string | undefined, needsChecksums: boolean]> = [
  ['the right Content-MD5', { 'content-md5': digest('md5', 'hello', 'base64') }, undefined, false],
  ['a Content-MD5 of other bytes', { 'content-md5': digest('md5', 'other', 'base64') }, 'BadDigest', false],
  ['a Content-MD5 that is none', { 'content-md5': 'abc' }, 'InvalidDigest', false],
  ['a checksum of the wrong length', { 'x-amz-checksum-sha256': 'NhCmhg==' }, 'InvalidRequest', true],
  ['two checksums', { 'x-amz-checksum-crc32': 'NhCmhg==', 'x-amz-checksum-crc32c': 'mnG7TA==' }, 'InvalidRequest', true],
  ['a named algorithm without its checksum', { 'x-amz-sdk-checksum-algorithm': 'CRC32' }, 'InvalidRequest', true],
  ['an If-None-Match that is not *', { 'if-none-match': otherEtag }, 'NotImplemented', true],
  ['a storage class that is none', { 'x-amz-storage-class': 'CHEAP' }, 'InvalidStorageClass', true],
  ['an ACL that is none', { 'x-amz-acl': 'everyone' }, 'InvalidArgument', true],
  ['metadata over 2 KB', { 'x-amz-meta-a': 'x'.repeat(2048) }, 'MetadataTooLarge', true],
  ['a body over 5 GiB', { 'content-length': String(5 * 1024 ** 3 + 1) }, 'EntityTooLarge', true]
]
t.test('a PUT may promise:', async (t) => {
  for (const [name, headers, code, needsChecksums] of digests) {
    await t.test(name, async (t) => {
      if (needsChecksums && !capabilities.checksumsKept) {
        t.notOk(isEmbedded, 'only a server that AWS\'s newer rules do not bind')
        return
      }
      // Of the body over 5 GiB not one byte needs to be sent: it is refused by its header.
      const response = await sendSigned(s3, requestFor(s3, 'PUT', bucket, `promise ${name}`, { body: 'hello', headers }), { payloadHash: 'UNSIGNED-PAYLOAD' })
      t.equal(response.code, code)
      t.equal(await isAbsent(`promise ${name}`), code !== undefined)
    })
  }
})

t.test('the AWS SDK with its default checksums stores and reads', async (t) => {
  const { S3Client } = await import('@aws-sdk/client-s3')
  const client = new S3Client({ endpoint: s3.endpoint, region: s3.region, credentials: s3.credentials, forcePathStyle: true })
  t.teardown(() => { client.destroy() })
  if (!capabilities.checksumsKept) {
    t.notOk(isEmbedded)
    return
  }
  const put = await client.send(new PutObjectCommand({ Bucket: bucket, Key: 'sdk', Body: Buffer.alloc(3_000_000, 7) }))
  t.ok(put.ChecksumCRC32)
  const got = await client.send(new GetObjectCommand({ Bucket: bucket, Key: 'sdk' }))
  t.equal((await got.Body?.transformToByteArray())?.length, 3_000_000)
  t.equal(got.ChecksumCRC32, put.ChecksumCRC32)
})

t.test('a presigned PUT of the SDK works once and only as signed (T15, T16, T24)', async (t) => {
  const url = await getSignedUrl(s3.client, new PutObjectCommand({ Bucket: bucket, Key: 'sdk-url', ContentType: 'text/plain', ContentLength: 5, IfNoneMatch: '*' }), { signableHeaders: new Set(['content-type', 'content-length', 'if-none-match', 'host']) })
  const upload = async (body: string, type = 'text/plain', more = {}) => (await fetch(url, { method: 'PUT', body, headers: { 'content-type': type, 'if-none-match': '*', ...more } })).status
  t.equal(await upload('hello', 'text/html'), 403)
  t.equal(await upload('hello!'), 403)
  t.equal(await upload('hello', 'text/plain', { 'x-amz-meta-a': 'b' }), capabilities.unsignedAmzHeadersRefused ? 403 : 200)
  await raw('DELETE', 'sdk-url')
  t.equal(await upload('hello'), 200)
  t.equal(await upload('hello'), 412)
})

t.test('a copy keeps headers or replaces them', async (t) => {
  const source = 'copy/ü + %.txt'
  await put(source, 'copied', { ContentType: 'text/x', CacheControl: 'no-cache', Metadata: { a: 'b' } })
  const CopySource = `${bucket}/${source.split('/').map(encodeURIComponent).join('/')}`
  const copied = await s3.client.send(new CopyObjectCommand({ Bucket: bucket, Key: 'kept', CopySource }))
  // Some servers leave the quotes out of this one document.
  t.equal(copied.CopyObjectResult?.ETag?.replaceAll('"', ''), digest('md5', 'copied'))
  t.match(await s3.client.send(new HeadObjectCommand({ Bucket: bucket, Key: 'kept' })), { ContentType: 'text/x', CacheControl: 'no-cache', Metadata: { a: 'b' } })
  await s3.client.send(new CopyObjectCommand({ Bucket: bucket, Key: 'new', CopySource, MetadataDirective: 'REPLACE', ContentType: 'text/y', Metadata: { c: 'd' } }))
  const replaced = await s3.client.send(new HeadObjectCommand({ Bucket: bucket, Key: 'new' }))
  t.equal(replaced.ContentType, 'text/y')
  t.equal(replaced.CacheControl, undefined)
  t.same(replaced.Metadata, { c: 'd' })
  t.equal(await read('new'), 'copied')
})

t.test('a copy to another bucket reads from its source', async (t) => {
  const other = await s3.createBucket()
  await put('from', 'across')
  await s3.client.send(new CopyObjectCommand({ Bucket: other, Key: 'to', CopySource: `/${bucket}/from` }))
  t.equal(await read('to', other), 'across')
})

const sourceRefused: [status: number, code?: string] = capabilities.copySourceConditions ? [412, 'PreconditionFailed'] : [200]
const copies: Array<[name: string, headers: Record<string, string>, status: number, code?: string]> = [
  ['If-Match of the source that matches', { 'x-amz-copy-source-if-match': etag }, 200],
  ['If-Match of another source (T24)', { 'x-amz-copy-source-if-match': otherEtag }, ...sourceRefused],
  ['If-None-Match of the source that matches', { 'x-amz-copy-source-if-none-match': etag }, ...sourceRefused],
  ['If-Modified-Since before', { 'x-amz-copy-source-if-modified-since': past }, 200],
  ['If-Unmodified-Since before', { 'x-amz-copy-source-if-unmodified-since': past }, ...sourceRefused],
  ['a source that is missing', { 'x-amz-copy-source': `/${bucket}/missing` }, 404, 'NoSuchKey'],
  ['a bucket that is missing', { 'x-amz-copy-source': '/no-such-bucket-here/x' }, 404, 'NoSuchBucket'],
  ['a source without key', { 'x-amz-copy-source': `/${bucket}` }, 400, 'InvalidArgument'],
  ['a directive that is none', { 'x-amz-metadata-directive': 'MERGE' }, 400, 'InvalidArgument']
]
t.test('a copy is conditional:', async (t) => {
  for (const [name, headers, status, code] of copies) {
    await t.test(name, async (t) => {
      const response = await raw('PUT', `target ${name}`, { headers: { 'x-amz-copy-source': `/${bucket}/source`, ...headers } })
      t.equal(response.status, status)
      t.equal(response.code, code)
      t.equal(await isAbsent(`target ${name}`), status !== 200)
    })
  }
})

t.test('a copy with If-None-Match: * creates once (T24)', async (t) => {
  const copy = () => raw('PUT', 'copied once', { headers: { 'x-amz-copy-source': `/${bucket}/source`, 'if-none-match': '*' } })
  t.equal((await copy()).status, 200)
  await put('copied once', 'kept')
  t.equal((await copy()).status, capabilities.createOnlyOnCopy ? 412 : 200)
  t.equal(await read('copied once'), capabilities.createOnlyOnCopy ? 'kept' : '0123456789')
})

t.test('a copy onto itself must change something', async (t) => {
  const copy = (headers: Readonly<Record<string, string>>) => raw('PUT', 'source', { headers: { 'x-amz-copy-source': `/${bucket}/source`, ...headers } })
  t.match(await copy({}), { status: 400, code: 'InvalidRequest' })
  t.equal((await copy({ 'x-amz-metadata-directive': 'REPLACE', 'content-type': 'text/z' })).status, 200)
  t.match(await raw('GET', 'source'), { body: '0123456789', headers: { 'content-type': 'text/z' } })
})

t.test('anonymous requests are refused', async (t) => {
  for (const method of ['GET', 'PUT', 'DELETE']) t.match(await send(s3.endpoint, requestFor(s3, method, bucket, 'source')), { status: 403, code: 'AccessDenied' })
})
