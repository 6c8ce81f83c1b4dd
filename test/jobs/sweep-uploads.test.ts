import { CreateMultipartUploadCommand, ListMultipartUploadsCommand } from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import { ApiError } from '../../src/errors.js'
import { sweepUploads } from '../../src/jobs/sweep-uploads.js'
import type { ObjectStorage } from '../../src/object-storage/object-storage.js'
import { sendForm } from '../helpers/form.js'
import { HTML, png } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { ENGINES, startService, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'

const s3 = await startTestS3(t)
const picture = png()
const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  /** A service whose clock the test moves; the store's own clock stays, and so do signatures. */
  async function start (t: Test, change: (storage: ObjectStorage) => Partial<ObjectStorage> = () => ({})) {
    let offset = 0
    const service = await startService(t, s3, {
      engine,
      adapt: services => ({ ...services, now: () => new Date(Date.now() + offset), objectStorage: { ...services.objectStorage, ...change(services.objectStorage) } })
    })
    const { call, services, bucket } = service
    const ada = await service.token('ada', { exp: Math.floor(Date.now() / 1000) + 600 })
    return {
      ...service,
      ada,
      create: async (body: object = {}) => (await call('POST', '/uploads', { token: ada, body: { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length, ...body } })).json(),
      status: async (id: string) => (await services.database.selectFrom('files').select('status').where('id', '=', id).executeTakeFirstOrThrow()).status,
      purgedAt: async (id: string) => (await services.database.selectFrom('files').select('purged_at').where('id', '=', id).executeTakeFirstOrThrow()).purged_at,
      usage: async () => (await services.database.selectFrom('usage').select(['files', 'bytes', 'pending']).where('owner', '=', 'ada').execute()).reduce((sum, row) => ({ files: sum.files + row.files, bytes: sum.bytes + row.bytes, pending: sum.pending + row.pending }), { files: 0, bytes: 0, pending: 0 }),
      stored: async (key: string) => await services.objectStorage.headObject({ bucket, key }),
      sweep: async () => await sweepUploads(services),
      after: (milliseconds: number) => { offset += milliseconds }
    }
  }

  t.test('F5: a client that vanishes after its PUT gets its file all the same, once', async t => {
    const { create, sweep, after, status, usage } = await start(t)
    const { file, upload } = await create()
    await send(upload, picture)
    t.match(await sweep(), { swept: 0 }, 'not before a minute has passed')
    after(MINUTE + 1000)
    t.strictSame(await sweep(), { swept: 1, ready: 1, expired: 0, deleted: 0 })
    t.equal(await status(file.id), 'ready')
    t.match(await usage(), { files: 1, bytes: picture.length, pending: 0 })
    t.match(await sweep(), { swept: 0 })
  })

  t.test('F6: a client that vanishes before its PUT gives its quota back, at the end of its last URL and not before', async t => {
    const { create, sweep, after, status, usage } = await start(t)
    const { file } = await create()
    for (let minutes = 0; minutes < 14; minutes += 2) {
      after(2 * MINUTE)
      t.match(await sweep(), { expired: 0 })
    }
    t.equal(await status(file.id), 'pending')
    after(2 * MINUTE)
    t.match(await sweep(), { expired: 1 })
    t.equal(await status(file.id), 'expired')
    t.match(await usage(), { files: 0, bytes: 0, pending: 0 })
  })

  t.test('F21: fresh URLs put the end off', async t => {
    const { create, sweep, after, status, call, ada } = await start(t)
    const { file } = await create()
    after(14 * MINUTE)
    await call('GET', `/uploads/${file.id}`, { token: ada })
    after(2 * MINUTE)
    await sweep()
    t.equal(await status(file.id), 'pending')
  })

  t.test('T25: what a live URL writes after a reject is deleted once the URL has ended', async t => {
    const { create, sweep, after, stored, status, call, ada, purgedAt } = await start(t)
    const { file, upload } = await create()
    const html = Buffer.concat([HTML, Buffer.alloc(picture.length)]).subarray(0, picture.length)
    await send(upload, html)
    t.equal((await call('POST', `/uploads/${file.id}/complete`, { token: ada })).json().code, 'OBJECT_MISMATCH')
    t.equal((await send(upload, picture)).status, 200, 'the key is free again, and the URL lives')
    t.equal((await call('POST', '/downloads', { token: ada, body: { fileId: file.id } })).json().code, 'FILE_NOT_READY')
    after(16 * MINUTE)
    await sweep()
    t.equal(await stored(file.key), null)
    t.equal(await status(file.id), 'rejected')
    t.equal(await purgedAt(file.id), null, 'a slow PUT may still come')
  })

  t.test('F19: a slow PUT that lands after the sweep is deleted a day later, and the file stays expired', async t => {
    const { create, sweep, after, stored, status, purgedAt } = await start(t)
    const { file, upload } = await create()
    after(16 * MINUTE)
    await sweep()
    t.equal(await status(file.id), 'expired')
    t.equal((await send(upload, picture)).status, 200, 'as if it had been on its way')
    after(DAY)
    await sweep()
    t.equal(await stored(file.key), null)
    t.equal(await status(file.id), 'expired')
    t.type(await purgedAt(file.id), 'number')
    after(DAY)
    t.match(await sweep(), { swept: 0 }, 'and that was the last time')
  })

  t.test('T26: a DELETE URL that is never used leaves the object to the sweeper', async t => {
    const { create, sweep, after, stored, call, ada } = await start(t)
    const { file, upload } = await create({ policy: 'few' })
    await send(upload, picture)
    await call('POST', `/uploads/${file.id}/complete`, { token: ada })
    t.equal((await call('POST', '/deletions', { token: ada, body: { fileId: file.id } })).statusCode, 201)
    t.ok(await stored(file.key))
    after(MINUTE + 1000)
    await sweep()
    t.equal(await stored(file.key), null)
  })

  t.test('F4 F20: an expired multipart upload leaves no parts', async t => {
    const { create, sweep, after, bucket } = await start(t)
    const { file, upload } = await create({ policy: 'parts', method: 'multipart', sizeBytes: 1000 })
    await send({ method: 'PUT', ...upload.parts[0] }, Buffer.alloc(1000))
    const open = async () => ((await s3.client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: file.key }))).Uploads ?? []).length
    t.equal(await open(), 1)
    // The client has sent everything and vanished: the sweeper completes it.
    after(MINUTE + 1000)
    t.match(await sweep(), { ready: 1 })
    t.equal(await open(), 0)

    const { file: lost } = await create({ policy: 'parts', method: 'multipart', sizeBytes: 2000 })
    after(16 * MINUTE)
    t.match(await sweep(), { expired: 1 })
    t.equal(((await s3.client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: lost.key }))).Uploads ?? []).length, 0)
  })

  t.test('F4: an upload that lost is aborted also when the store failed at the first try', async t => {
    let isFaulty = true
    const { create, sweep, after, bucket, call, ada } = await start(t, storage => ({
      listMultipartUploads: (...where) => {
        if (isFaulty) throw new ApiError('OBJECT_STORAGE_ERROR', 'down')
        return storage.listMultipartUploads(...where)
      }
    }))
    const { file, upload } = await create({ policy: 'parts', method: 'multipart', sizeBytes: 1000 })
    await s3.client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: file.key }))
    await send({ method: 'PUT', ...upload.parts[0] }, Buffer.alloc(1000))
    t.equal((await call('POST', `/uploads/${file.id}/complete`, { token: ada })).statusCode, 200)
    const open = async () => ((await s3.client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: file.key }))).Uploads ?? []).length
    t.equal(await open(), 1)
    isFaulty = false
    after(MINUTE + 1000)
    await sweep()
    t.equal(await open(), 0)
    // What a slow request begins after that is found, too.
    await s3.client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: file.key }))
    after(DAY)
    await sweep()
    t.equal(await open(), 0)
    after(DAY)
    await sweep()
    after(DAY)
    t.match(await sweep(), { swept: 0 }, 'and that was the last time')
  })

  t.test('I9: an upload that gets a fresh URL between the look of the sweeper and its decision is not given up', async t => {
    const { create, sweep, after, status, services, call, ada } = await start(t)
    const { file } = await create()
    after(16 * MINUTE)
    const { releaseToPending } = services.files
    const looked = t.intercept(services.files, 'releaseToPending', {
      async value (...args: Parameters<typeof releaseToPending>) {
        const released = await releaseToPending(...args)
        t.match((await call('GET', `/uploads/${file.id}`, { token: ada })).json(), { upload: { method: 'PUT' } })
        return released
      }
    })
    t.match(await sweep(), { swept: 1, expired: 0 })
    t.equal(looked().length > 0, true)
    t.equal(await status(file.id), 'pending')
    looked.restore()
    after(16 * MINUTE)
    t.match(await sweep(), { expired: 1 }, 'and when that URL has ended, too, it is')
  })

  t.test('T24 T25: a form that is sent again after completion leaves nothing in staging for long', async t => {
    const { create, sweep, after, stored, status } = await start(t)
    const { file, upload } = await create({ policy: 'forms' })
    await sendForm(upload, picture)
    after(MINUTE + 1000)
    t.match(await sweep(), { ready: 1 })
    t.equal((await sendForm(upload, picture)).status, 201)
    t.ok(await stored(`staging/${file.id}`))
    after(16 * MINUTE)
    await sweep()
    t.equal(await stored(`staging/${file.id}`), null)
    t.equal(await status(file.id), 'ready')
    t.ok(await stored(file.key))
  })

  t.test('F1: a verification that died is taken up once its lease has run out', async t => {
    const { create, sweep, after, status, services } = await start(t)
    const { file, upload } = await create()
    await send(upload, picture)
    await services.files.markVerifying(file.id, { token: 'dead', until: new Date(services.now().getTime() + MINUTE) }, services.now())
    after(30_000)
    t.match(await sweep(), { swept: 0 })
    after(MINUTE)
    t.match(await sweep(), { ready: 1 })
    t.equal(await status(file.id), 'ready')
  })

  const faults: ReadonlyArray<[name: string, fault: Partial<ObjectStorage>]> = [
    ['F14: a store that fails', { headObject: () => Promise.reject(new ApiError('OBJECT_STORAGE_ERROR', 'down')) }],
    ['F16: a store that says 403 instead of 404', { headObject: () => Promise.reject(new ApiError('OBJECT_STORAGE_ERROR', '403')) }]
  ]
  for (const [name, fault] of faults) {
    t.test(`${name} gives nothing up, also after the deadline, and once it heals the file is ready`, async t => {
      let isFaulty = true
      const { create, sweep, after, status } = await start(t, storage => ({ headObject: async location => await (isFaulty ? fault : storage).headObject!(location) }))
      const { file, upload } = await create()
      await send(upload, picture)
      after(16 * MINUTE)
      t.match(await sweep(), { swept: 1, ready: 0, expired: 0 })
      t.equal(await status(file.id), 'pending')
      isFaulty = false
      after(2 * MINUTE)
      t.match(await sweep(), { ready: 1 })
      t.equal(await status(file.id), 'ready')
    })
  }

  t.test('F22: several sweepers share the work, and each row is swept once', async t => {
    const { create, services, after } = await start(t)
    const { file } = await create()
    const row = await services.database.selectFrom('files').selectAll().where('id', '=', file.id).executeTakeFirstOrThrow()
    const copies = Array.from({ length: 150 }, (_, index) => ({ ...row, id: `copy-${index}`, object_key: `copy/${index}` }))
    await services.database.insertInto('files').values(copies).execute()
    await services.database.updateTable('usage').set({ files: 151, pending: 151, bytes: 151 * picture.length }).execute()
    after(16 * MINUTE)
    const reports = await Promise.all([1, 2, 3, 4].map(async () => await sweepUploads(services)))
    const sum = (name: 'swept' | 'expired') => reports.reduce((total, report) => total + report[name], 0)
    t.strictSame({ swept: sum('swept'), expired: sum('expired') }, { swept: 151, expired: 151 })
    t.same(await services.database.selectFrom('usage').select(['files', 'pending', 'bytes']).execute(), [{ files: 0, pending: 0, bytes: 0 }])
  })

  t.test('a row that fails does not keep others from being swept', async t => {
    const broken: string[] = []
    const { create, sweep, after, status } = await start(t, storage => ({ headObject: async location => broken.includes(location.key) ? await Promise.reject(new Error('odd')) : await storage.headObject(location) }))
    const first = await create()
    const second = await create()
    broken.push(first.file.key)
    for (const { upload } of [first, second]) await send(upload, picture)
    after(MINUTE + 1000)
    t.match(await sweep(), { swept: 2, ready: 1 })
    t.strictSame([await status(first.file.id), await status(second.file.id)], ['pending', 'ready'])
  })

  t.test('an upload that someone began at our key is none of ours', async t => {
    const { create, sweep, after, bucket, status } = await start(t)
    const { file, upload } = await create()
    await s3.client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: file.key }))
    await send(upload, picture)
    after(MINUTE + 1000)
    await sweep()
    t.equal(await status(file.id), 'ready')
  })
}
