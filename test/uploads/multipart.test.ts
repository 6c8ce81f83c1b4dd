import { createHash } from 'node:crypto'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Writable } from 'node:stream'
import { CreateMultipartUploadCommand, ListMultipartUploadsCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import { ApiError } from '../../src/errors.js'
import type { ObjectStorage } from '../../src/object-storage/object-storage.js'
import { crc32Base64, sha256Base64 } from '../helpers/samples.js'
import { isRefused, s3Code, send, type Presigned } from '../helpers/send.js'
import { ENGINES, startService, type Engine, type TestService } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { until } from '../helpers/until.js'

interface Part extends Omit<Presigned, 'method'> { readonly partNumber: number, readonly sizeBytes: number }
interface Instructions { readonly method: string, readonly partSizeBytes: number, readonly partCount: number, readonly parts: Part[], readonly uploadedParts?: Array<{ partNumber: number, sizeBytes: number }> }
interface Begun { readonly file: { readonly id: string, readonly key: string }, readonly upload: Instructions }

const s3 = await startTestS3(t)
const PART = 5 * 1024 ** 2
/** Two and a bit parts of noise that is the same in every run. */
const bytes = Buffer.alloc(2 * PART + 1000, 'presignd')
bytes.writeUInt32BE(0xdeadbeef, PART)
const slice = (part: Pick<Part, 'partNumber' | 'sizeBytes'>, of: Buffer = bytes) => of.subarray((part.partNumber - 1) * PART, (part.partNumber - 1) * PART + part.sizeBytes)
const put = async (part: Part, body: Uint8Array = slice(part), headers: Record<string, string | undefined> = {}) => await send({ method: 'PUT', ...part }, body, headers)

for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  const service = await startService(t, s3, { engine })
  const { call, token, services, bucket } = service
  const ada = await token('ada')
  const grace = await token('grace')
  const body = { policy: 'parts', filename: 'a.bin', contentType: 'application/octet-stream', sizeBytes: bytes.length }

  const create = async (change: object = {}, on: TestService = service): Promise<Begun> => {
    const reply = await on.call('POST', '/uploads', { token: ada, body: { ...body, ...change } })
    t.equal(reply.statusCode, 201, reply.body)
    return reply.json()
  }
  const complete = async (id: string, payload: unknown = {}, on: TestService = service) => await on.call('POST', `/uploads/${id}/complete`, { token: ada, body: payload })
  const read = async (id: string): Promise<Begun & { file: { status: string } }> => (await call('GET', `/uploads/${id}`, { token: ada })).json()
  const multipartId = async (id: string) => (await services.database.selectFrom('files').select('multipart_upload_id').where('id', '=', id).executeTakeFirstOrThrow()).multipart_upload_id ?? ''
  const openUploads = async (key: string, of = bucket) => ((await s3.client.send(new ListMultipartUploadsCommand({ Bucket: of, Prefix: key }))).Uploads ?? []).length
  const faulty = async (t: Test, change: (storage: ObjectStorage) => Partial<ObjectStorage>) => await startService(t, s3, { engine, adapt: services => ({ ...services, objectStorage: { ...services.objectStorage, ...change(services.objectStorage) } }) })
  const download = async (id: string, on: TestService = service) => (await send((await on.call('POST', '/downloads', { token: ada, body: { fileId: id } })).json().download)).body
  const digest = (content: Uint8Array) => createHash('sha256').update(content).digest('hex')

  t.test('a file goes up in parts, in any order, and is what was sent', async t => {
    const { file, upload } = await create()
    t.match(upload, { method: 'multipart', partSizeBytes: PART, partCount: 3 })
    t.strictSame(upload.parts.map(({ partNumber, sizeBytes }) => [partNumber, sizeBytes]), [[1, PART], [2, PART], [3, 1000]])
    for (const part of [...upload.parts].reverse()) t.equal((await put(part)).status, 200)
    t.match((await complete(file.id)).json().file, { status: 'ready', method: 'multipart', sizeBytes: bytes.length, etag: /-3"$/ })
    t.equal(digest(await download(file.id)), digest(bytes))
    t.equal((await complete(file.id)).statusCode, 200, 'complete may be repeated')
  })

  t.test('auto takes parts above the threshold only', async t => {
    t.equal((await create({ sizeBytes: PART })).upload.method, 'PUT')
    t.equal((await create({ sizeBytes: PART + 1 })).upload.method, 'multipart')
  })

  t.test('a small file in one part', async t => {
    const { file, upload } = await create({ method: 'multipart', sizeBytes: 1000 })
    t.equal(upload.partCount, 1)
    t.equal((await put(upload.parts[0]!, bytes.subarray(0, 1000))).status, 200)
    t.equal((await complete(file.id)).json().file.status, 'ready')
  })

  t.test('resume: after a reload the upload tells what is there, and gives URLs for the rest alone', async t => {
    const { file, upload } = await create()
    await put(upload.parts[1]!)
    const later = await read(file.id)
    t.strictSame(later.upload.uploadedParts, [{ partNumber: 2, sizeBytes: PART }])
    t.strictSame(later.upload.parts.map(part => part.partNumber), [1, 3])
    const other = await token('ada', { iat: 1 })
    t.equal((await call('GET', `/uploads/${file.id}`, { token: other })).statusCode, 200, 'with another token of the same user')
    for (const part of later.upload.parts) await put(part)
    t.equal((await complete(file.id)).json().file.status, 'ready')
    t.equal(digest(await download(file.id)), digest(bytes))
  })

  t.test('T16: the length of every part is bound', async t => {
    const { upload } = await create()
    for (const [name, content] of [['longer', Buffer.alloc(1001)], ['shorter', Buffer.alloc(999)]] as const) {
      const sent = await put(upload.parts[2]!, content)
      t.equal(sent.status, 403, `${name}: ${s3Code(sent)}`)
    }
    t.ok(isRefused(await put(upload.parts[2]!, slice(upload.parts[2]!), { 'content-length': undefined, 'transfer-encoding': 'chunked' })))
  })

  t.test('a part URL is for its part alone', async t => {
    const { upload } = await create()
    const [first, second] = upload.parts as [Part, Part]
    const swapped = new URL(first.url)
    swapped.searchParams.set('partNumber', '2')
    t.ok(isRefused(await put({ ...first, url: swapped.href })))
    const finish = new URL(second.url)
    finish.searchParams.delete('partNumber')
    t.equal((await send({ method: 'POST', url: finish.href, headers: {} }, Buffer.from('<CompleteMultipartUpload/>'))).status, 403, 'a client cannot finish by itself')
    t.equal((await send({ method: 'DELETE', url: finish.href, headers: {} })).status, 403)
  })

  t.test('T33: part numbers are those of the file, and a hundred a call', async t => {
    const { file } = await create()
    const ask = async (body: unknown) => (await call('POST', `/uploads/${file.id}/parts`, { token: ada, body })).json()
    t.match(await ask({ partNumbers: [4] }), { status: 400, code: 'INVALID_REQUEST', errors: [{ path: '/partNumbers' }] })
    t.match(await ask({ partNumbers: [0] }), { status: 400, code: 'INVALID_REQUEST' })
    t.match(await ask({ partNumbers: Array.from({ length: 101 }, (_, index) => index + 1) }), { status: 400, code: 'INVALID_REQUEST' })
    t.match(await ask({ partNumbers: [2, 2] }), { status: 400, code: 'INVALID_REQUEST' })
    t.match(await ask({ partNumbers: [3, 1] }), { parts: [{ partNumber: 3, sizeBytes: 1000 }, { partNumber: 1, sizeBytes: PART }], expiresAt: String })
    t.strictSame((await ask({})).parts.map((part: Part) => part.partNumber), [1, 2, 3])
    const put = await create({ sizeBytes: 10 })
    t.match((await call('POST', `/uploads/${put.file.id}/parts`, { token: ada, body: {} })).json(), { status: 400, code: 'INVALID_REQUEST' })
  })

  t.test('a file of 10,000 parts gets its URLs a hundred at a time', async t => {
    const { file, upload } = await create({ sizeBytes: 10_000 * PART })
    t.equal(upload.partCount, 10_000)
    t.equal(upload.parts.length, 100)
    const last = (await call('POST', `/uploads/${file.id}/parts`, { token: ada, body: { partNumbers: [10_000] } })).json()
    t.match(last.parts, [{ partNumber: 10_000, sizeBytes: PART }])
    await call('DELETE', `/uploads/${file.id}`, { token: ada })
    const huge = await create({ sizeBytes: 5 * 1024 ** 4 })
    t.ok(huge.upload.partCount <= 10_000)
    await call('DELETE', `/uploads/${huge.file.id}`, { token: ada })
  })

  t.test('I1: the row knows of every part URL that was handed out', async t => {
    let clock = new Date()
    const timed = await startService(t, s3, { engine, adapt: services => ({ ...services, now: () => clock }) })
    const { file } = await create({}, timed)
    clock = new Date(clock.getTime() + 300_000)
    const { expiresAt } = (await timed.call('POST', `/uploads/${file.id}/parts`, { token: ada, body: {} })).json()
    const { url_deadline: deadline } = await timed.services.database.selectFrom('files').select('url_deadline').where('id', '=', file.id).executeTakeFirstOrThrow()
    t.ok(deadline >= new Date(expiresAt).getTime())
  })

  t.test('complete says which parts are missing, and what a client claims is only compared', async t => {
    const { file, upload } = await create()
    const etags = new Map<number, string>()
    for (const part of upload.parts.slice(0, 2)) etags.set(part.partNumber, String((await put(part)).headers['etag']))
    const early = await complete(file.id)
    t.match(early.json(), { status: 409, code: 'OBJECT_MISSING', detail: /1 of 3 parts have not arrived: 3\./ })
    await put(upload.parts[2]!)
    t.match((await complete(file.id, { parts: [{ partNumber: 1, etag: '"0123456789abcdef0123456789abcdef"' }] })).json(), { status: 400, code: 'INVALID_REQUEST', errors: [{ path: '/parts' }] })
    t.match((await complete(file.id, { parts: [{ partNumber: 9, etag: 'x' }] })).json(), { status: 400 })
    const claims = [...etags].map(([partNumber, etag]) => ({ partNumber, etag: partNumber === 1 ? etag : etag.replaceAll('"', '') }))
    t.equal((await complete(file.id, { parts: claims })).statusCode, 200, 'with and without quotes')
  })

  t.test('F43: the body of a complete may name 10,000 parts', async t => {
    const { file } = await create()
    const parts = Array.from({ length: 10_000 }, (_, index) => ({ partNumber: index + 1, etag: '"0123456789abcdef0123456789abcdef"' }))
    t.equal((await complete(file.id, { parts })).json().code, 'INVALID_REQUEST')
    t.equal((await complete(file.id, { parts: [...parts, parts[0]] })).json().code, 'INVALID_REQUEST')
  })

  t.test('T9: another user finishes, signs, lists and aborts nothing, and the owner then can', async t => {
    const { file, upload } = await create()
    for (const part of upload.parts) await put(part)
    for (const [method, path, payload] of [['GET', '', undefined], ['POST', '/parts', { partNumbers: [1] }], ['POST', '/complete', {}], ['DELETE', '', undefined]] as const) {
      t.match((await call(method, `/uploads/${file.id}${path}`, { token: grace, ...(payload && { body: payload }) })).json(), { status: 404, code: 'UPLOAD_NOT_FOUND' }, `${method} ${path}`)
    }
    const stranger = await multipartId(file.id)
    t.match((await call('GET', `/uploads/${stranger.slice(0, 60).replace(/[^A-Za-z0-9-]/g, 'x')}`, { token: ada })).json(), { status: 404 }, 'S3\'s id is no id here')
    t.equal((await complete(file.id)).statusCode, 200)
  })

  t.test('T13: no reply holds S3\'s upload id as a handle, and none hands out credentials', async t => {
    const { file } = await create()
    const replies = [await call('GET', `/uploads/${file.id}`, { token: ada }), await call('GET', `/files/${file.id}`, { token: ada })]
    for (const reply of replies) t.notOk(Object.keys(reply.json().file).some(name => /multipart|uploadId|credential/i.test(name)))
    t.equal((await call('GET', '/sts', { token: ada })).statusCode, 404)
  })

  t.test('T33: a part of another length, which a signature should have kept out, is rejected, and nothing stays', async t => {
    const { file } = await create()
    const id = await multipartId(file.id)
    const { UploadPartCommand } = await import('@aws-sdk/client-s3')
    for (const [partNumber, size] of [[1, PART], [2, PART + 1], [3, 1000]] as const) {
      await s3.client.send(new UploadPartCommand({ Bucket: bucket, Key: file.key, UploadId: id, PartNumber: partNumber, Body: Buffer.alloc(size) }))
    }
    t.match((await complete(file.id)).json(), { status: 422, code: 'OBJECT_MISMATCH', detail: /Part 2/ })
    t.equal(await services.objectStorage.listParts({ bucket, key: file.key }, id), null)
    t.equal(await openUploads(file.key), 0)
  })

  t.test('T24 T25: after completion and after an abort, part URLs change nothing', async t => {
    const { file, upload } = await create()
    for (const part of upload.parts) await put(part)
    await complete(file.id)
    const other = Buffer.alloc(bytes.length, 'evil')
    for (const part of upload.parts) t.ok(isRefused(await put(part, slice(part, other))))
    t.equal(digest(await download(file.id)), digest(bytes))

    const aborted = await create()
    await put(aborted.upload.parts[0]!)
    t.equal((await call('DELETE', `/uploads/${aborted.file.id}`, { token: ada })).statusCode, 204)
    t.ok(isRefused(await put(aborted.upload.parts[1]!)))
    t.equal(await openUploads(aborted.file.key), 0)
    t.match((await call('POST', `/uploads/${aborted.file.id}/parts`, { token: ada, body: {} })).json(), { status: 410, code: 'UPLOAD_EXPIRED' })
  })

  t.test('T24: completing never overwrites an object that is at the key already, where the store can tell', async t => {
    const probe = await services.objectStorage.createMultipartUpload({ bucket, key: 'probe' }, { contentType: 'a/b', checksum: null })
    const { parts: [part] } = await services.objectStorage.presignParts({ bucket, key: 'probe', multipartUploadId: probe, parts: [{ partNumber: 1, sizeBytes: 1000, sha256: null }], signedAt: new Date(), expiresInSeconds: 60 })
    await put({ ...part!, partNumber: 3, sizeBytes: 1000 })
    await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key: 'probe', Body: 'first' }))
    const outcome = await services.objectStorage.completeMultipartUpload({ bucket, key: 'probe' }, probe, await services.objectStorage.listParts({ bucket, key: 'probe' }, probe) ?? [], null)
    const size = (await services.objectStorage.headObject({ bucket, key: 'probe' }))?.sizeBytes
    t.strictSame([outcome, size], outcome === 'gone' ? ['gone', 5] : ['completed', 1000], 'measured: RGW 16 overwrites, AWS answers 412')
    if (s3.kind === 'embedded') t.equal(outcome, 'gone')
  })

  t.test('F12: the store completed and the reply was lost: no false failure', async t => {
    let calls = 0
    const lossy = await faulty(t, storage => ({
      async completeMultipartUpload (...args) {
        calls++
        await storage.completeMultipartUpload(...args)
        throw new ApiError('OBJECT_STORAGE_ERROR', 'The reply was lost.')
      }
    }))
    const { file, upload } = await create({}, lossy)
    for (const part of upload.parts) await put(part)
    t.equal((await complete(file.id, {}, lossy)).statusCode, 502)
    t.match((await complete(file.id, {}, lossy)).json(), { file: { status: 'ready' } })
    t.equal(calls, 1, 'and it is not completed twice')
  })

  t.test('F4: a create that dies before its upload id is stored leaves none that a later one would not end', async t => {
    const dying = await startService(t, s3, { engine, adapt: services => ({ ...services, files: { ...services.files, setMultipartUploadId: () => Promise.reject(new ApiError('NOT_READY', 'killed')) } }) })
    const reply = await dying.call('POST', '/uploads', { token: ada, body })
    t.equal(reply.statusCode, 503)
    const usage = (await dying.call('GET', '/usage', { token: ada })).json().data.find(({ policy }: { policy: string }) => policy === 'parts')
    t.match(usage, { files: 0, bytes: 0, pending: 0 }, 'the quota is given back')
  })

  t.test('a store that cannot begin: 502, and the quota is given back', async t => {
    const down = await faulty(t, () => ({ createMultipartUpload: () => Promise.reject(new ApiError('OBJECT_STORAGE_ERROR', 'down')) }))
    t.equal((await down.call('POST', '/uploads', { token: ada, body })).statusCode, 502)
    t.match((await down.call('GET', '/usage', { token: ada })).json().data.find(({ policy }: { policy: string }) => policy === 'parts'), { files: 0, pending: 0 })
  })

  t.test('twenty creates at once with one key begin one upload, and abort what they began too many', async t => {
    const reply = await Promise.all(Array.from({ length: 20 }, async () => await call('POST', '/uploads', { token: ada, body, headers: { 'idempotency-key': 'multi' } })))
    t.strictSame([...new Set(reply.map(({ statusCode }) => statusCode))], [201])
    const ids = new Set(reply.map(item => item.json().file.id))
    t.equal(ids.size, 1)
    t.equal(await openUploads(reply[0]!.json().file.key), 1)
    await put(reply[7]!.json().upload.parts[0])
    t.strictSame((await read([...ids][0] as string)).upload.uploadedParts, [{ partNumber: 1, sizeBytes: PART }], 'every URL is of the one that counts')
  })

  t.test('an upload that the store has forgotten is begun anew', async t => {
    const { file, upload } = await create()
    await services.objectStorage.abortMultipartUpload({ bucket, key: file.key }, await multipartId(file.id))
    t.ok(isRefused(await put(upload.parts[0]!)))
    const later = await read(file.id)
    t.strictSame(later.upload.uploadedParts, [])
    for (const part of later.upload.parts) t.equal((await put(part)).status, 200)
    t.equal((await complete(file.id)).json().file.status, 'ready')
  })

  t.test('an abort while the store completes is answered by the row, whatever the store then says', async t => {
    const racing: { service?: TestService } = {}
    racing.service = await faulty(t, () => ({
      async completeMultipartUpload (location) {
        const { data } = (await racing.service!.call('GET', '/files?status=verifying', { token: ada })).json()
        t.equal((await racing.service!.call('DELETE', `/uploads/${data[0].id}`, { token: ada })).statusCode, 204)
        throw new ApiError('OBJECT_STORAGE_ERROR', `No such upload at ${location.bucket}.`)
      }
    }))
    const { file, upload } = await create({}, racing.service)
    for (const part of upload.parts) await put(part)
    t.match((await complete(file.id, {}, racing.service)).json(), { status: 410, code: 'UPLOAD_EXPIRED' })
  })

  t.test('F20: a part that lands during the abort is removed, too', async t => {
    const { file, upload } = await create()
    const id = await multipartId(file.id)
    await put(upload.parts[0]!)
    const [late] = await Promise.all([put(upload.parts[1]!), call('DELETE', `/uploads/${file.id}`, { token: ada })])
    t.type(late.status, 'number')
    t.equal(await services.objectStorage.listParts({ bucket, key: file.key }, id), null)
    t.equal(await openUploads(file.key), 0)
  })

  for (const [name, declared] of [['', {}], [', beside a CRC-32 of the whole', { checksumCrc32: crc32Base64(bytes) }]] as const) {
    t.test(`SHA-256 of parts are bound by their URLs${name}`, async t => {
      const { file } = await create(declared)
      const first = slice({ partNumber: 1, sizeBytes: PART })
      const sha = createHash('sha256').update(first)
      const { parts } = (await call('POST', `/uploads/${file.id}/parts`, { token: ada, body: { partNumbers: [1], checksumsSha256: { 1: sha.copy().digest('base64') } } })).json()
      t.strictSame(parts[0].headers, { 'x-amz-content-sha256': sha.digest('hex') })
      t.ok(isRefused(await put(parts[0], first, { 'x-amz-content-sha256': undefined })))
      t.ok(isRefused(await put(parts[0], first, { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' })))
      t.ok(isRefused(await put(parts[0], Buffer.from(first).fill(0, 0, 1))))
      t.strictSame((await read(file.id)).upload.uploadedParts, [], 'nothing of it is kept')
      t.equal((await put(parts[0])).status, 200)
      const { parts: rest } = (await call('POST', `/uploads/${file.id}/parts`, { token: ada, body: {} })).json()
      for (const part of rest) await put(part)
      t.equal((await complete(file.id)).json().file.status, 'ready')
    })
  }

  t.test('SHA-256 of parts are refused where the signer cannot bind them', async t => {
    const sdk = await startService(t, s3, { engine, env: { S3_SIGNER: 'sdk' } })
    const { file } = await create({}, sdk)
    const ask = async (body: object) => (await sdk.call('POST', `/uploads/${file.id}/parts`, { token: ada, body: { partNumbers: [1], ...body } })).json()
    t.match(await ask({ checksumsSha256: { 1: sha256Base64(bytes) } }), { status: 400, code: 'INVALID_REQUEST', errors: [{ path: '/checksumsSha256' }] })
    t.match(await ask({ checksumsSha256: {} }), { parts: [{ partNumber: 1 }] })
  })

  t.test('a CRC-32 of the whole is declared, checked by a store that keeps them, and kept in the row', async t => {
    const { file, upload } = await create({ checksumCrc32: crc32Base64(bytes) })
    for (const part of upload.parts) await put(part)
    t.match((await complete(file.id)).json().file, { status: 'ready', checksumCrc32: crc32Base64(bytes) })
    t.equal((await services.objectStorage.headObject({ bucket, key: file.key }))?.checksums.find(({ algorithm }) => algorithm === 'CRC32')?.value, s3.kind === 'embedded' ? crc32Base64(bytes) : undefined)
  })

  t.test('parts that do not add up to the CRC-32 that was declared are rejected, by a store that compares it', async t => {
    const { file, upload } = await create({ checksumCrc32: crc32Base64(bytes.subarray(1)) })
    for (const part of upload.parts) await put(part)
    const reply = await complete(file.id)
    if (s3.kind === 'embedded') t.match(reply.json(), { status: 422, code: 'OBJECT_MISMATCH', detail: /CRC32 of the file is not the declared one/ })
    else t.equal(reply.statusCode, 200)
    t.equal((await complete(file.id)).statusCode, reply.statusCode, 'and stay so')
    t.equal(await openUploads(file.key), 0)
  })

  t.test('F43: a completion that takes long is answered 202 and goes on, and its lease is kept from others', async t => {
    let go: () => void = () => {}
    const mayGo = new Promise<void>(resolve => { go = resolve })
    const slow = await startService(t, s3, {
      engine,
      env: { COMPLETE_WAIT_SECONDS: '0' },
      adapt: services => ({
        ...services,
        objectStorage: {
          ...services.objectStorage,
          async completeMultipartUpload (...args) {
            await mayGo
            return await services.objectStorage.completeMultipartUpload(...args)
          }
        }
      })
    })
    const { file, upload } = await create({}, slow)
    for (const part of upload.parts) await put(part)
    for (let attempt = 0; attempt < 3; attempt++) {
      const reply = await complete(file.id, {}, slow)
      t.match({ status: reply.statusCode, retry: reply.headers['retry-after'], file: reply.json().file.status }, { status: 202, retry: '2', file: 'verifying' })
    }
    t.equal(slow.services.background.size, 1, 'one call works')
    go()
    await Promise.all(slow.services.background)
    t.match((await complete(file.id, {}, slow)).json(), { file: { status: 'ready' } })
    t.equal(digest(await download(file.id, slow)), digest(bytes))
  })

  t.test('F43: what goes wrong after the 202 is in the log, since no client hears of it', async t => {
    const lines: string[] = []
    const faults: Array<(error: Error) => void> = []
    const failing = await startService(t, s3, {
      engine,
      env: { COMPLETE_WAIT_SECONDS: '0' },
      logTo: new Writable({ write (chunk, _, done) { lines.push(String(chunk)); done() } }),
      adapt: services => ({
        ...services,
        objectStorage: { ...services.objectStorage, completeMultipartUpload: async () => await new Promise((_resolve, reject) => { faults.push(reject) }) }
      })
    })
    const { file, upload } = await create({}, failing)
    for (const part of upload.parts) await put(part)
    for (const error of [new TypeError('a fault of ours'), new ApiError('OBJECT_MISSING', 'Send it.')]) {
      t.equal((await complete(file.id, {}, failing)).statusCode, 202)
      const [work] = failing.services.background
      await until(() => faults.length > 0)
      faults.pop()?.(error)
      await t.rejects(work!)
    }
    const told = lines.map(line => JSON.parse(line)).filter(line => line.msg.startsWith('an upload could not be verified'))
    t.match(told, [{ level: 50, fileId: file.id, err: { type: 'TypeError', message: 'a fault of ours' } }])
    t.equal(told.length, 1, 'and not what a client is asked to do')
  })

  t.test('10,000 parts: signed, resumed and completed without holding the event loop, in little memory', async t => {
    const size = 10_000 * PART
    const etag = '"0123456789abcdef0123456789abcdef"'
    const big = await faulty(t, () => ({
      async listParts () { return Array.from({ length: 10_000 }, (_, index) => ({ partNumber: index + 1, etag, sizeBytes: PART, checksums: [] })) },
      async completeMultipartUpload () { return 'completed' as const },
      async headObject () { return { sizeBytes: size, etag, contentType: body.contentType, checksums: [], unsignedHeaders: [] } }
    }))
    const { file } = await create({ sizeBytes: size }, big)
    const numbers = (call: number) => Array.from({ length: 100 }, (_, index) => call * 100 + index + 1)
    await big.call('POST', `/uploads/${file.id}/parts`, { token: ada, body: { partNumbers: numbers(0) } })
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    for (let index = 0; index < 100; index++) {
      const { parts } = (await big.call('POST', `/uploads/${file.id}/parts`, { token: ada, body: { partNumbers: numbers(index) } })).json()
      if (parts.length !== 100) t.fail(`call ${index} gave ${parts.length} URLs`)
    }
    delay.disable()
    t.comment(`100 calls for 100 part URLs: longest turn ${(delay.max / 1e6).toFixed(1)} ms, mean ${(delay.mean / 1e6).toFixed(1)} ms`)
    const { upload } = (await big.call('GET', `/uploads/${file.id}`, { token: ada })).json()
    t.equal(upload.uploadedParts.length, 10_000)
    t.strictSame(upload.parts, [])
    const before = process.memoryUsage().rss
    t.equal((await complete(file.id, {}, big)).statusCode, 200)
    const grown = (process.memoryUsage().rss - before) / 1024 ** 2
    t.comment(`completing 10,000 parts took ${grown.toFixed(0)} MiB more`)
    t.ok(grown < 100)
  })

  t.test('a stray multipart upload beside ours does not count', async t => {
    const { file, upload } = await create()
    await s3.client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: file.key }))
    for (const part of upload.parts) await put(part)
    t.equal((await complete(file.id)).json().file.status, 'ready')
  })
}
