import { createHash, randomBytes } from 'node:crypto'
import { monitorEventLoopDelay } from 'node:perf_hooks'

import {
  AbortMultipartUploadCommand, CompleteMultipartUploadCommand, CreateMultipartUploadCommand, GetObjectCommand, HeadObjectCommand, ListMultipartUploadsCommand,
  ListPartsCommand, PutObjectCommand, UploadPartCommand, UploadPartCopyCommand, type CompletedPart, type CreateMultipartUploadCommandInput
} from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import t from 'tap'

import { startTestS3 } from '../../helpers/s3.js'
import { measureCapabilities } from './fixtures/capabilities.js'
import { element, requestFor, sendSigned, type Sending } from './fixtures/send.js'

const s3 = await startTestS3(t)
const bucket = await s3.createBucket()
const capabilities = await measureCapabilities(s3)
const isEmbedded = s3.kind === 'embedded'
const minPartBytes = 5 * 1024 ** 2

async function start (key: string, input: Partial<CreateMultipartUploadCommandInput> = {}): Promise<string> {
  const { UploadId } = await s3.client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: key, ...input }))
  if (UploadId === undefined) throw new Error('no UploadId')
  return UploadId
}

async function upload (key: string, uploadId: string, partNumber: number, body: string | Buffer): Promise<CompletedPart> {
  const { ETag } = await s3.client.send(new UploadPartCommand({ Bucket: bucket, Key: key, UploadId: uploadId, PartNumber: partNumber, Body: body }))
  return { PartNumber: partNumber, ETag: ETag ?? '' }
}

async function complete (key: string, uploadId: string, parts: CompletedPart[]) {
  return await s3.client.send(new CompleteMultipartUploadCommand({ Bucket: bucket, Key: key, UploadId: uploadId, MultipartUpload: { Parts: parts } }))
}

async function read (key: string): Promise<Buffer> {
  const { Body } = await s3.client.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
  return Buffer.from(await Body?.transformToByteArray() ?? [])
}

function raw (method: string, key: string, sending: Sending = {}) {
  return sendSigned(s3, requestFor(s3, method, bucket, key, sending))
}

// Other servers say NoSuchKey to some of these.
const noUpload = { status: 404, code: isEmbedded ? 'NoSuchUpload' : /^NoSuch(?:Upload|Key)$/ }

function md5 (data: string | Buffer): Buffer {
  return createHash('md5').update(data).digest()
}

// Everything that is awaited here comes before the first test: a test file ends when its tests are done.
const key = 'refused'
const uploadId = await start(key)
const small = await upload(key, uploadId, 1, 'small')
const other = await upload(key, uploadId, 2, 'other')

t.test('parts in any order become one object with the ETag of their ETags', async (t) => {
  const key = 'big/ü.bin'
  const uploadId = await start(key, { ContentType: 'text/x', Metadata: { a: 'b' }, CacheControl: 'no-store' })
  const bodies = [randomBytes(minPartBytes), randomBytes(minPartBytes + 1), Buffer.from('end')]
  const last = await upload(key, uploadId, 7, bodies[2] ?? '')
  const first = await upload(key, uploadId, 1, bodies[0] ?? '')
  const middle = await upload(key, uploadId, 3, bodies[1] ?? '')
  t.notOk((await s3.client.send(new HeadObjectCommand({ Bucket: bucket, Key: key })).catch(() => undefined)), 'nothing is visible before it is complete')
  const completed = await complete(key, uploadId, [first, middle, last])
  const etag = `"${md5(Buffer.concat(bodies.map(md5))).toString('hex')}-3"`
  if (isEmbedded) t.equal(completed.ETag, etag)
  t.equal(completed.Key, key)
  t.ok((await read(key)).equals(Buffer.concat(bodies)))
  t.match(await s3.client.send(new HeadObjectCommand({ Bucket: bucket, Key: key })), { ETag: etag, ContentType: 'text/x', Metadata: { a: 'b' }, CacheControl: 'no-store', ContentLength: 2 * minPartBytes + 4 })
  const across = await raw('GET', key, { headers: { range: `bytes=${2 * minPartBytes}-${2 * minPartBytes + 3}` } })
  t.equal(across.status, 206)
  t.ok(across.body.endsWith('end'))
  t.equal((await raw('GET', key, { query: `uploadId=${encodeURIComponent(uploadId)}` })).status, 404)
})

t.test('a part that is sent again replaces the first', async (t) => {
  const uploadId = await start('again')
  const first = await upload('again', uploadId, 1, 'one')
  const second = await upload('again', uploadId, 1, 'two')
  await t.rejects(complete('again', uploadId, [first]), { name: 'InvalidPart' })
  await complete('again', uploadId, [second])
  t.equal((await read('again')).toString(), 'two')
})

t.test('parts that a completion does not name are left out', async (t) => {
  const uploadId = await start('some')
  const first = await upload('some', uploadId, 1, 'one')
  await upload('some', uploadId, 2, 'unused')
  if (!capabilities.partsMayBeLeftOut) {
    await t.rejects(complete('some', uploadId, [first]), { name: 'InvalidPart' })
    return
  }
  await complete('some', uploadId, [first])
  t.equal((await read('some')).toString(), 'one')
})

const completions: Array<[name: string, parts: CompletedPart[] | undefined, code: string]> = [
  ['a part that was never sent', [small, { PartNumber: 3, ETag: small.ETag }], 'InvalidPart'],
  ['another part\'s ETag', [{ PartNumber: 1, ETag: other.ETag }], 'InvalidPart'],
  ['parts in descending order', [other, small], 'InvalidPartOrder'],
  ['a part twice', [small, small], 'InvalidPartOrder'],
  ['a part under 5 MiB that is not the last', [small, other], 'EntityTooSmall'],
  ['no parts', [], 'MalformedXML'],
  ['no document', undefined, 'MalformedXML']
]
t.test('a completion is refused, and the upload stays, for', async (t) => {
  for (const [name, parts, code] of completions) {
    await t.test(name, async (t) => {
      const body = parts === undefined
        ? '<Complete'
        : `<CompleteMultipartUpload>${parts.map(({ PartNumber, ETag }) => `<Part><PartNumber>${PartNumber}</PartNumber><ETag>${ETag}</ETag></Part>`).join('')}</CompleteMultipartUpload>`
      const response = await raw('POST', key, { query: `uploadId=${encodeURIComponent(uploadId)}`, body })
      t.equal(response.status, 400)
      // A server that wants every part named looks at the number of parts, or at their sizes, before their order.
      const codes = capabilities.partsMayBeLeftOut ? [code] : ['InvalidPart', 'InvalidPartOrder', 'EntityTooSmall', 'MalformedXML']
      t.ok(codes.includes(response.code ?? ''), `${response.code ?? 'no code'}`)
      t.equal((await raw('HEAD', key)).status, 404)
    })
  }
  const after = await s3.client.send(new ListPartsCommand({ Bucket: bucket, Key: key, UploadId: uploadId }))
  t.same(after.Parts?.map(({ PartNumber }) => PartNumber), [1, 2])
})

t.test('part numbers go from 1 to 10,000', async (t) => {
  const uploadId = await start('numbers')
  const part = (number: string) => raw('PUT', 'numbers', { query: `partNumber=${number}&uploadId=${encodeURIComponent(uploadId)}`, body: 'x' })
  for (const number of ['1', '10000']) t.equal((await part(number)).status, 200, number)
  for (const number of ['10001', '0', '-1', 'x']) {
    const response = await part(number)
    t.equal(response.status === 400 && response.code === 'InvalidArgument', isEmbedded || response.status === 400, number)
  }
})

t.test('an upload belongs to its key (T9)', async (t) => {
  const uploadId = await start('owned')
  const query = `uploadId=${encodeURIComponent(uploadId)}`
  t.match(await raw('PUT', 'stolen', { query: `partNumber=1&${query}`, body: 'x' }), noUpload)
  t.match(await raw('GET', 'stolen', { query }), noUpload)
  t.match(await raw('DELETE', 'stolen', { query }), noUpload)
  t.equal((await raw('GET', 'owned', { query })).status, 200)
})

t.test('an aborted upload is gone with its parts', async (t) => {
  const uploadId = await start('aborted')
  const part = await upload('aborted', uploadId, 1, 'x')
  await s3.client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key: 'aborted', UploadId: uploadId }))
  await t.rejects(s3.client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key: 'aborted', UploadId: uploadId })), { name: 'NoSuchUpload' })
  await t.rejects(upload('aborted', uploadId, 1, 'x'), { name: 'NoSuchUpload' })
  await t.rejects(complete('aborted', uploadId, [part]), { name: isEmbedded ? 'NoSuchUpload' : /./ })
  t.equal((await raw('HEAD', 'aborted')).status, 404)
})

t.test('ListParts pages by part number', async (t) => {
  const uploadId = await start('listed')
  for (const number of [5, 1, 12, 9]) await upload('listed', uploadId, number, `part ${number}`)
  const pages: number[][] = []
  let marker: string | undefined
  do {
    const page = await s3.client.send(new ListPartsCommand({ Bucket: bucket, Key: 'listed', UploadId: uploadId, MaxParts: 2, ...(marker === undefined ? {} : { PartNumberMarker: marker }) }))
    pages.push((page.Parts ?? []).map(({ PartNumber }) => PartNumber ?? 0))
    t.equal(page.Parts?.[0]?.ETag, `"${md5(`part ${page.Parts?.[0]?.PartNumber}`).toString('hex')}"`)
    t.equal(page.Parts?.[0]?.Size, `part ${page.Parts?.[0]?.PartNumber}`.length)
    marker = page.IsTruncated === true ? page.NextPartNumberMarker : undefined
  } while (marker !== undefined)
  t.same(pages, [[1, 5], [9, 12]])
})

t.test('ListMultipartUploads has every open upload once, by key, page by page', async (t) => {
  const own = await s3.createBucket()
  const keys = ['b/1', 'a/1', 'a/2', 'a/2', 'c']
  const ids = new Set<string>()
  for (const Key of keys) ids.add((await s3.client.send(new CreateMultipartUploadCommand({ Bucket: own, Key }))).UploadId ?? '')
  const found: string[] = []
  let next: { KeyMarker?: string | undefined, UploadIdMarker?: string | undefined } | undefined = {}
  while (next !== undefined) {
    const page: Awaited<ReturnType<typeof list>> = await list(next)
    found.push(...(page.Uploads ?? []).map(({ Key, UploadId }) => {
      t.ok(ids.delete(UploadId ?? ''))
      return Key ?? ''
    }))
    next = page.IsTruncated === true ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker } : undefined
  }
  async function list (marker: { KeyMarker?: string | undefined, UploadIdMarker?: string | undefined }) {
    return await s3.client.send(new ListMultipartUploadsCommand({ Bucket: own, MaxUploads: 2, ...marker }))
  }
  t.same(found, ['a/1', 'a/2', 'a/2', 'b/1', 'c'])
  const some = await s3.client.send(new ListMultipartUploadsCommand({ Bucket: own, Prefix: 'a/' }))
  t.same(some.Uploads?.map(({ Key }) => Key), ['a/1', 'a/2', 'a/2'])
  const grouped = await s3.client.send(new ListMultipartUploadsCommand({ Bucket: own, Delimiter: '/' }))
  t.same(grouped.CommonPrefixes?.map(({ Prefix }) => Prefix), isEmbedded ? ['a/', 'b/'] : undefined)
  t.same(grouped.Uploads?.map(({ Key }) => Key), ['c'])
})

t.test('a part can be a range of another object', async (t) => {
  await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key: 'part source', Body: '0123456789' }))
  const CopySource = `${bucket}/part%20source`
  const copy = async (uploadId: string, range?: string) => await s3.client.send(new UploadPartCopyCommand({ Bucket: bucket, Key: 'assembled', UploadId: uploadId, PartNumber: 1, CopySource, ...(range === undefined ? {} : { CopySourceRange: range }) }))
  const uploadId = await start('assembled')
  const { CopyPartResult } = await copy(uploadId, 'bytes=2-5')
  await complete('assembled', uploadId, [{ PartNumber: 1, ETag: CopyPartResult?.ETag ?? '' }])
  t.equal((await read('assembled')).toString(), '2345')
  const second = await start('assembled')
  const whole = await copy(second)
  t.equal(whole.CopyPartResult?.ETag?.replaceAll('"', ''), md5('0123456789').toString('hex'))
  if (isEmbedded) for (const range of ['bytes=2-10', 'bytes=5-2', 'bytes=2-', 'x']) await t.rejects(copy(second, range), { name: 'InvalidArgument' }, range)
})

t.test('a completion with If-None-Match: * does not overwrite (T24)', async (t) => {
  const uploadId = await start('created once')
  const part = await upload('created once', uploadId, 1, 'multipart')
  await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key: 'created once', Body: 'first' }))
  const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${part.ETag}</ETag></Part></CompleteMultipartUpload>`
  const attempt = () => raw('POST', 'created once', { query: `uploadId=${encodeURIComponent(uploadId)}`, body, headers: { 'if-none-match': '*' } })
  t.equal((await attempt()).status, capabilities.createOnlyOnComplete ? 412 : 200)
  t.equal((await read('created once')).toString(), capabilities.createOnlyOnComplete ? 'first' : 'multipart')
  if (!capabilities.createOnlyOnComplete) return
  await raw('DELETE', 'created once')
  t.equal((await attempt()).status, 200, 'the refused upload is still there')
  t.equal((await read('created once')).toString(), 'multipart')
})

t.test('of two completions at once one object comes out, whole', async (t) => {
  const uploadId = await start('twice')
  const parts = [await upload('twice', uploadId, 1, Buffer.alloc(minPartBytes, 1)), await upload('twice', uploadId, 2, 'end')]
  const outcomes = await Promise.allSettled([complete('twice', uploadId, parts), complete('twice', uploadId, parts)])
  t.ok(outcomes.some(({ status }) => status === 'fulfilled'))
  t.equal((await read('twice')).length, minPartBytes + 3)
})

t.test('a presigned part URL takes that part only', async (t) => {
  const uploadId = await start('presigned')
  const url = await getSignedUrl(s3.client, new UploadPartCommand({ Bucket: bucket, Key: 'presigned', UploadId: uploadId, PartNumber: 1, ContentLength: 4 }))
  t.equal((await fetch(url.replace('partNumber=1', 'partNumber=2'), { method: 'PUT', body: 'part' })).status, 403)
  t.equal((await fetch(url, { method: 'PUT', body: 'part+' })).status, 403, 'one byte more (T16)')
  const response = await fetch(url, { method: 'PUT', body: 'part' })
  t.equal(response.status, 200)
  await complete('presigned', uploadId, [{ PartNumber: 1, ETag: response.headers.get('etag') ?? '' }])
  t.equal((await read('presigned')).toString(), 'part')
})

const bodies = [Buffer.alloc(minPartBytes, 'a'), Buffer.from('tail')]
const kinds: Array<[algorithm: 'SHA256' | 'SHA1' | 'CRC32' | 'CRC32C' | 'CRC64NVME', type: 'COMPOSITE' | 'FULL_OBJECT']> = [
  ['SHA256', 'COMPOSITE'], ['SHA1', 'COMPOSITE'], ['CRC32', 'COMPOSITE'], ['CRC32', 'FULL_OBJECT'], ['CRC32C', 'FULL_OBJECT'], ['CRC64NVME', 'FULL_OBJECT']
]
t.test('a multipart checksum is', async (t) => {
  if (!capabilities.checksumsKept) {
    t.notOk(isEmbedded)
    return
  }
  for (const [algorithm, type] of kinds) {
    await t.test(`${algorithm} ${type}`, async (t) => {
      const key = `checksum ${algorithm} ${type}`
      const name = `Checksum${algorithm}` as const
      const header = `x-amz-checksum-${algorithm.toLowerCase()}`
      const uploadId = await start(key, { ChecksumAlgorithm: algorithm, ChecksumType: type })
      const parts: CompletedPart[] = []
      for (const [index, Body] of bodies.entries()) {
        const part = await s3.client.send(new UploadPartCommand({ Bucket: bucket, Key: key, UploadId: uploadId, PartNumber: index + 1, Body, ChecksumAlgorithm: algorithm }))
        t.ok(part[name])
        parts.push({ PartNumber: index + 1, ETag: part.ETag ?? '', [name]: part[name] })
      }
      const completed = await complete(key, uploadId, parts)
      const head = await s3.client.send(new HeadObjectCommand({ Bucket: bucket, Key: key, ChecksumMode: 'ENABLED' }))
      t.equal(head[name], completed[name])
      t.equal(head.ChecksumType, type)
      if (type === 'COMPOSITE') {
        t.match(head[name], /-2$/)
        return
      }
      // The same bytes in one PUT have the same checksum; the server refuses another one.
      const single = await raw('PUT', `${key} single`, { body: Buffer.concat(bodies), headers: { [header]: head[name] ?? '' } })
      t.equal(single.status, 200)
    })
  }
  await t.test('the composite of SHA-256 that AWS describes', async (t) => {
    const head = await s3.client.send(new HeadObjectCommand({ Bucket: bucket, Key: 'checksum SHA256 COMPOSITE', ChecksumMode: 'ENABLED' }))
    const sha256 = (data: Buffer): Buffer => createHash('sha256').update(data).digest()
    t.equal(head.ChecksumSHA256, `${sha256(Buffer.concat(bodies.map(sha256))).toString('base64')}-2`)
  })
})

t.test('a multipart checksum is refused for', async (t) => {
  if (!capabilities.checksumsKept) {
    t.notOk(isEmbedded)
    return
  }
  await t.test('a kind that its algorithm has not', async (t) => {
    await t.rejects(start('kind', { ChecksumAlgorithm: 'SHA256', ChecksumType: 'FULL_OBJECT' }), { name: 'InvalidRequest' })
    await t.rejects(start('kind', { ChecksumAlgorithm: 'CRC64NVME', ChecksumType: 'COMPOSITE' }), { name: 'InvalidRequest' })
  })
  await t.test('a part of another algorithm, or of none', async (t) => {
    const uploadId = await start('algorithm', { ChecksumAlgorithm: 'SHA256' })
    const query = `partNumber=1&uploadId=${uploadId}`
    t.equal((await raw('PUT', 'algorithm', { query, body: 'hello', headers: { 'x-amz-checksum-crc32': 'NhCmhg==' } })).code, 'InvalidRequest')
    t.equal((await raw('PUT', 'algorithm', { query, body: 'hello' })).code, 'InvalidRequest')
  })
  await t.test('a part that has one of an upload that began without', async (t) => {
    const query = `partNumber=1&uploadId=${await start('none')}`
    const sent = await raw('PUT', 'none', { query, body: 'hello', headers: { 'x-amz-checksum-crc32': 'NhCmhg==' } })
    t.match(sent, { status: 400, code: 'InvalidRequest', body: /expected checksum Type: null, actual checksum Type: crc32/ })
    t.equal((await raw('PUT', 'none', { query, body: 'hello' })).status, 200)
  })
  await t.test('an object of another checksum or size', async (t) => {
    const uploadId = await start('promised', { ChecksumAlgorithm: 'CRC32', ChecksumType: 'FULL_OBJECT' })
    const part = await upload('promised', uploadId, 1, 'hello')
    const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${part.ETag}</ETag></Part></CompleteMultipartUpload>`
    const attempt = (headers: Readonly<Record<string, string>>) => raw('POST', 'promised', { query: `uploadId=${uploadId}`, body, headers })
    t.equal((await attempt({ 'x-amz-checksum-crc32': 'AAAAAA==' })).code, 'BadDigest')
    t.equal((await attempt({ 'x-amz-mp-object-size': '6' })).code, 'InvalidRequest')
    t.equal(element((await attempt({ 'x-amz-checksum-crc32': 'NhCmhg==', 'x-amz-mp-object-size': '5' })).body, 'ChecksumCRC32'), 'NhCmhg==')
  })
})

t.test('completing 64 MiB neither copies it into memory nor stops the server', async (t) => {
  const uploadId = await start('large')
  const parts: CompletedPart[] = []
  const body = Buffer.alloc(8 * 1024 ** 2, 'x')
  for (let number = 1; number <= 8; number++) parts.push(await upload('large', uploadId, number, body))
  const delay = monitorEventLoopDelay({ resolution: 5 })
  const before = process.memoryUsage().arrayBuffers
  delay.enable()
  await complete('large', uploadId, parts)
  delay.disable()
  // The embedded store runs in this process; an external one shows nothing here, and passes.
  t.ok(delay.max < 500e6, `event loop held up for ${Math.round(delay.max / 1e6)} ms`)
  t.ok(process.memoryUsage().arrayBuffers - before < 16 * 1024 ** 2)
  t.equal((await raw('HEAD', 'large')).headers['content-length'], String(64 * 1024 ** 2))
})
