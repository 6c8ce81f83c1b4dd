import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import { ApiError } from '../../src/errors.js'
import { sweepUploads } from '../../src/jobs/sweep-uploads.js'
import { send } from '../helpers/send.js'
import { ENGINES, startService, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { until } from '../helpers/until.js'
import { idOf, MIB, PART, POLICIES, uppyClient, type Begun } from './fixtures/uppy-client.js'

const s3 = await startTestS3(t)
const bytes = Buffer.alloc(2 * PART + 1000, 'presignd')
bytes.writeUInt32BE(0xdeadbeef, PART)
const slices = [bytes.subarray(0, PART), bytes.subarray(PART, 2 * PART), bytes.subarray(2 * PART)]
for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  let ahead = 0
  const service = await startService(t, s3, { engine, policies: POLICIES, adapt: services => ({ ...services, now: () => new Date(Date.now() + ahead) }) })
  const { call, token, services, bucket } = service
  const ada = await token('ada')
  const uppy = uppyClient(service, { path: '/uppy/binaries', token: ada })
  const begin = async (metadata: object = {}): Promise<Begun> => {
    const reply = await uppy.begin({ filename: 'a.bin', type: 'application/octet-stream', metadata: { name: 'a.bin', type: 'application/octet-stream', relativePath: null, ...metadata } })
    t.equal(reply.statusCode, 200, reply.body)
    return reply.json()
  }
  const sendAll = async (begun: Begun) => [await uppy.put(begun, 1, slices[0]!), await uppy.put(begun, 2, slices[1]!), await uppy.put(begun, 3, slices[2]!)]
  const fileOf = async (begun: Begun) => (await call('GET', `/uploads/${idOf(begun)}`, { token: ada })).json().file
  const openUploads = async ({ key }: Begun) => ((await s3.client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: key }))).Uploads ?? []).length
  const usage = async () => (await call('GET', '/usage', { token: ada })).json().data.find(({ policy }: { policy: string }) => policy === 'binaries')

  t.test('a file of unknown size goes up in parts and is what was sent', async t => {
    const begun = await begin()
    t.match(begun, { key: /^binaries\/[0-9a-f-]{36}$/, uploadId: String, bucket })
    t.notOk((await fileOf(begun)).sizeBytes)
    const parts = await sendAll(begun)
    t.strictSame((await uppy.list(begun)).json(), parts.map((part, index) => ({ ...part, Size: slices[index]!.length })))
    const reply = await uppy.complete(begun, parts)
    t.equal(reply.statusCode, 200, reply.body)
    t.match(reply.json(), { location: new RegExp(`/${begun.key}$`), key: begun.key, bucket, file: { id: idOf(begun), status: 'ready', sizeBytes: bytes.length, method: 'multipart' } })
    const { download } = (await call('POST', '/downloads', { token: ada, body: { fileId: idOf(begun) } })).json()
    t.ok(bytes.equals((await send(download)).body))
  })

  t.test('a batch of URLs, and ETags without their quotes', async t => {
    const begun = await begin()
    const { presignedUrls } = (await uppy.batch(begun, '1,2,2')).json()
    t.strictSame(Object.keys(presignedUrls), ['1', '2'])
    const etags = []
    for (const [index, number] of ['1', '2'].entries()) etags.push(String((await send({ method: 'PUT', url: presignedUrls[number], headers: {} }, slices[index]!)).headers['etag']))
    const reply = await uppy.complete(begun, etags.map((etag, index) => ({ PartNumber: index + 1, ETag: etag.replaceAll('"', '') })))
    t.equal(reply.json().file.status, 'ready', reply.body)
    t.equal((await uppy.batch(begun, '0')).statusCode, 400)
    t.equal((await uppy.batch(begun, Array.from({ length: 101 }, (_, index) => index + 1).join())).statusCode, 400)
  })

  t.test('T31: an unknown size reserves the policy\'s most, and what is not needed is given back', async t => {
    const before = (await usage()).bytes
    const begun = await begin()
    t.equal((await usage()).bytes - before, 11 * MIB)
    await uppy.complete(begun, [await uppy.put(begun, 1, slices[2]!)])
    t.equal((await usage()).bytes - before, 1000)
  })

  t.test('T33: a part beyond what the policy allows in parts of 5 MiB is refused', async t => {
    const begun = await begin()
    t.equal((await uppy.sign(begun, 3)).statusCode, 200)
    t.match((await uppy.sign(begun, 4)).json(), { code: 'INVALID_REQUEST', message: /at most 3 parts/ })
    for (const number of [0, 10_001, 'x', '1.5']) t.equal((await uppy.sign(begun, number)).statusCode, 400)
    const small = await begin({ size: 10 })
    t.match((await uppy.sign(small, 2)).json(), { code: 'INVALID_REQUEST', message: /at most 1 parts/ })
  })

  t.test('T33: a sum over the policy\'s most is rejected, and its parts are gone', async t => {
    const begun = await begin()
    const parts = [await uppy.put(begun, 1, slices[0]!), await uppy.put(begun, 2, Buffer.alloc(6 * MIB + 1))]
    const reply = await uppy.complete(begun, parts)
    t.match(reply.json(), { status: 422, code: 'OBJECT_MISMATCH', message: /at most 11534336/ })
    t.equal(await openUploads(begun), 0)
    t.equal((await fileOf(begun)).status, 'rejected')
    t.match((await uppy.complete(begun, parts)).json(), { code: 'OBJECT_MISMATCH' }, 'and so it stays')
    t.match((await uppy.list(begun)).json(), { code: 'OBJECT_MISMATCH' })
    t.match((await uppy.sign(begun, 1)).json(), { code: 'UPLOAD_EXPIRED' })
  })

  t.test('T16: a declared size must be met exactly', async t => {
    const over = await begin({ size: 999 })
    t.match((await uppy.complete(over, [await uppy.put(over, 1, slices[2]!)])).json(), { code: 'OBJECT_MISMATCH' })
    const under = await begin({ size: String(PART + 1000) })
    t.equal((await fileOf(under)).sizeBytes, PART + 1000)
    const part = await uppy.put(under, 1, slices[0]!)
    t.match((await uppy.complete(under, [part])).json(), { status: 409, code: 'OBJECT_MISSING', message: /5242880 of 5243880 bytes/ })
    t.equal((await uppy.complete(under, [part, await uppy.put(under, 2, slices[2]!)])).json().file.status, 'ready')
  })

  t.test('a part that is not what the store has, is not there, or is too small for S3, can be sent again', async t => {
    const begun = await begin()
    const small = await uppy.put(begun, 1, slices[2]!)
    const last = await uppy.put(begun, 2, slices[2]!)
    t.match((await uppy.complete(begun, [{ ...small, ETag: '"0"' }])).json(), { code: 'INVALID_REQUEST', message: /Part 1/ })
    t.match((await uppy.complete(begun, [small, last, { PartNumber: 3, ETag: '"0"' }])).json(), { code: 'INVALID_REQUEST', message: /Part 3/ })
    t.match((await uppy.complete(begun, [small, last])).json(), { code: 'OBJECT_MISSING', message: /Part 1 has 1000 bytes/ })
    t.equal((await uppy.complete(begun, [await uppy.put(begun, 1, slices[0]!), last])).json().file.status, 'ready')
  })

  t.test('where the store takes parts of one size alone, others are told, and can be sent again', async t => {
    const equal = await startService(t, s3, { engine, policies: POLICIES, env: { S3_UNEQUAL_PARTS: 'false' } })
    const client = uppyClient(equal, { path: '/uppy/binaries', token: ada })
    const begun: Begun = (await client.begin({ filename: 'a.bin', type: 'application/octet-stream', metadata: { name: 'a.bin', type: 'application/octet-stream' } })).json()
    const first = await client.put(begun, 1, slices[0]!)
    const last = await client.put(begun, 3, slices[2]!)
    const larger = await client.put(begun, 2, Buffer.alloc(PART + 1))
    t.match((await client.complete(begun, [first, larger, last])).json(), { code: 'OBJECT_MISSING', message: /Part 2 has 5242881 bytes; the store takes parts of one size/ })
    t.match((await client.complete(begun, [first, larger])).json(), { code: 'OBJECT_MISSING', message: /Part 2 has 5242881 bytes/ }, 'nor is the last one larger')
    t.equal((await client.complete(begun, [first, await client.put(begun, 2, slices[1]!), last])).json().file.status, 'ready')
  })

  t.test('F8: complete and abort may be repeated, and the row answers', async t => {
    const begun = await begin()
    const parts = [await uppy.put(begun, 1, slices[2]!)]
    const first = await uppy.complete(begun, parts)
    t.strictSame((await uppy.complete(begun, parts)).json(), first.json())
    t.match((await uppy.abort(begun)).json(), { code: 'UPLOAD_ALREADY_COMPLETED' })

    const given = await begin()
    await uppy.put(given, 1, slices[0]!)
    for (let time = 0; time < 2; time++) {
      const reply = await uppy.abort(given)
      t.strictSame([reply.statusCode, reply.json()], [200, {}], 'v5 reads JSON whatever the method')
    }
    t.equal(await openUploads(given), 0)
    t.equal((await fileOf(given)).status, 'expired')
    t.match((await uppy.complete(given, parts)).json(), { status: 410, code: 'UPLOAD_EXPIRED' })
    t.match((await uppy.list(given)).json(), { code: 'UPLOAD_EXPIRED' })
  })

  t.test('F12: a client whose complete call lost its reply finds every part there, sends nothing, and completes', async t => {
    const begun = await begin()
    await uppy.complete(begun, await sendAll(begun))
    const listed = (await uppy.list(begun)).json()
    t.match(listed.map(({ PartNumber }: { PartNumber: number }) => PartNumber), [1, 2, 3])
    t.equal((await uppy.complete(begun, listed)).json().file.status, 'ready')
  })

  t.test('F1 F12: so does one whose service died after S3 had put the object together', async t => {
    const begun = await begin()
    const parts = await sendAll(begun)
    const location = { bucket, key: begun.key }
    const stored = await services.objectStorage.listParts(location, begun.uploadId)
    t.equal(await services.objectStorage.completeMultipartUpload(location, begun.uploadId, stored!, null), 'completed')
    t.equal((await fileOf(begun)).status, 'pending')
    t.equal((await uppy.list(begun)).json().length, 3)
    t.equal((await uppy.complete(begun, parts)).json().file.status, 'ready')
  })

  t.test('F6: the sweeper never completes parts of an unknown size, and gives them up in the end', async t => {
    t.teardown(() => { ahead = 0 })
    const open = await begin()
    const declared = await begin({ size: 1000 })
    await uppy.put(open, 1, slices[0]!)
    await uppy.put(declared, 1, slices[2]!)
    ahead = 61_000
    await sweepUploads(services)
    t.equal((await fileOf(open)).status, 'pending')
    t.equal((await fileOf(declared)).status, 'ready', 'of a declared size it knows when all is there')
    ahead = 2 * 3_600_000
    await sweepUploads(services)
    t.equal((await fileOf(open)).status, 'expired')
    t.equal(await openUploads(open), 0)
  })

  for (const metadata of [{}, { size: bytes.length }]) {
    t.test(`I9: the look of the sweeper keeps no client from sending the parts of ${'size' in metadata ? 'a declared' : 'an unknown'} size`, async t => {
      t.teardown(() => { ahead = 0 })
      const begun = await begin(metadata)
      await uppy.put(begun, 1, slices[0]!)
      const { listParts } = services.objectStorage
      let asked: Awaited<ReturnType<typeof uppy.sign>> | undefined
      const looks = t.intercept(services.objectStorage, 'listParts', {
        async value (...args: Parameters<typeof listParts>) {
          if (args[0].key === begun.key) asked = await uppy.sign(begun, 2)
          return await listParts(...args)
        }
      })
      ahead = 61_000
      await sweepUploads(services)
      t.equal(asked?.statusCode, 200)
      looks.restore()
      ahead = 0
      t.equal((await uppy.complete(begun, await sendAll(begun))).json().file.status, 'ready')
    })
  }

  t.test('I9 F43: Uppy names its parts once: when the store fails after the answer, they are put together without it', async t => {
    let isDown = true
    let ahead = 0
    let answer: () => void = () => {}
    const answering = new Promise<void>(resolve => { answer = resolve })
    const failing = await startService(t, s3, {
      engine,
      policies: POLICIES,
      env: { COMPLETE_WAIT_SECONDS: '0' },
      adapt: services => ({
        ...services,
        now: () => new Date(Date.now() + ahead),
        objectStorage: {
          ...services.objectStorage,
          async completeMultipartUpload (...args) {
            await answering
            if (isDown) throw new ApiError('OBJECT_STORAGE_ERROR', 'down')
            return await services.objectStorage.completeMultipartUpload(...args)
          }
        }
      })
    })
    const client = uppyClient(failing, { path: '/uppy/binaries', token: ada })
    const begun = (await client.begin({ filename: 'a.bin', type: 'application/octet-stream' })).json()
    const parts = [await client.put(begun, 1, slices[0]!), await client.put(begun, 2, slices[1]!), await client.put(begun, 3, slices[2]!)]
    t.match((await client.complete(begun, parts)).json(), { file: { status: 'verifying' } })
    answer()
    await Promise.allSettled(failing.services.background)
    const status = async () => (await failing.services.files.find(idOf(begun), { tenant: '', owner: 'ada' }))?.status
    t.equal(await status(), 'pending')
    isDown = false
    ahead = 2 * 60_000
    await sweepUploads(failing.services)
    t.equal(await status(), 'ready')
  })

  t.test('I9 F9: parts that are named while someone else looks at the upload wait for their turn', async t => {
    const busy = await startService(t, s3, { engine, policies: POLICIES, env: { COMPLETE_WAIT_SECONDS: '0' } })
    const client = uppyClient(busy, { path: '/uppy/binaries', token: ada })
    const begun = (await client.begin({ filename: 'a.bin', type: 'application/octet-stream' })).json()
    const parts = [await client.put(begun, 1, slices[2]!)]
    const { files } = busy.services
    await files.markVerifying(idOf(begun), { token: 'other', until: new Date(Date.now() + 60_000) }, new Date())
    const attempts = t.capture(files, 'markVerifying', files.markVerifying)
    const completing = client.complete(begun, parts)
    let count = 0
    await until(() => (count += attempts().length) > 1)
    await files.releaseToPending(idOf(begun), 'other', new Date(), new Date())
    t.equal((await completing).statusCode, 200)
    await until(() => busy.services.background.size === 0)
    t.equal((await files.find(idOf(begun), { tenant: '', owner: 'ada' }))?.status, 'ready')
  })

  t.test('I1: the URL of a part never outlives the deadline of its row, and one write covers many', async t => {
    t.teardown(() => { ahead = 0 })
    const begun = await begin()
    const row = async () => await services.database.selectFrom('files').select(['url_deadline', 'version']).where('id', '=', idOf(begun)).executeTakeFirstOrThrow()
    let { version } = await row()
    for (const [later, written] of [[0, 0], [800_000, 0], [1_000_000, 1], [1_500_000, 0]] as const) {
      ahead = later
      const { url, expires } = (await uppy.sign(begun, 1)).json()
      const signed = new URL(url).searchParams
      const date = signed.get('X-Amz-Date')!.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z')
      const after = await row()
      t.ok(Date.parse(date) + Number(signed.get('X-Amz-Expires')) * 1000 <= after.url_deadline)
      t.ok(expires > 890 && expires <= 900)
      t.equal(after.version - version, written)
      version = after.version
    }
  })

  t.test('the ordinary addresses leave an upload to the client that cuts it', async t => {
    const begun = await begin()
    t.strictSame(Object.keys((await call('GET', `/uploads/${idOf(begun)}`, { token: ada })).json()), ['file'])
    t.match((await call('POST', `/uploads/${idOf(begun)}/parts`, { token: ada, body: { partNumbers: [1] } })).json(), { code: 'INVALID_REQUEST' })
    t.match((await call('POST', `/uploads/${idOf(begun)}/complete`, { token: ada, body: {} })).json(), { code: 'OBJECT_MISSING' })
    t.equal((await call('DELETE', `/uploads/${idOf(begun)}`, { token: ada })).statusCode, 204)
    t.equal((await call('POST', '/uploads', { token: ada, body: { policy: 'binaries', filename: 'a', contentType: 'application/octet-stream', method: 'multipart' } })).statusCode, 400, 'and they ask for a size as before')
    const own = (await call('POST', '/uploads', { token: ada, body: { policy: 'binaries', filename: 'a', contentType: 'application/octet-stream', method: 'multipart', sizeBytes: 10 } })).json()
    const { multipart_upload_id: uploadId } = await services.database.selectFrom('files').select('multipart_upload_id').where('id', '=', own.file.id).executeTakeFirstOrThrow()
    t.match((await uppy.sign({ key: own.file.key, uploadId: uploadId!, bucket }, 1)).json(), { code: 'UPLOAD_NOT_FOUND' }, 'whose parts have bound lengths')
  })

  t.test('metadata in JSON is read like that in a query', async t => {
    t.strictSame((await fileOf(await begin({ album: 'summer', year: 2026, shared: true, relativePath: 'null' }))).metadata, { album: 'summer', year: '2026', shared: 'true' })
    t.match((await uppy.begin({ filename: 'a', type: 'application/octet-stream', metadata: { tags: ['a'] } })).json(), { code: 'INVALID_REQUEST', message: /metadata "tags"/ })
    for (const body of [{ type: 'application/octet-stream' }, { filename: 'a', type: 5 }, { filename: '' }]) t.equal((await uppy.begin(body)).statusCode, 400)
  })
}
