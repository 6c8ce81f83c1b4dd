import { CreateMultipartUploadCommand, DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import { reconcile, type Finding } from '../../src/jobs/reconcile.js'
import { sweepUploads } from '../../src/jobs/sweep-uploads.js'
import type { ListedObject, ObjectStorage } from '../../src/object-storage/object-storage.js'
import { listKeys, listUploads } from '../faults/fixtures/invariants.js'
import { runCli } from '../helpers/process.js'
import { png } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { ENGINES, POLICIES, startService, testEnvironment, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'

const s3 = await startTestS3(t)
const picture = png()
const DAY = 24 * 3_600_000
const WEBHOOK = 'webhooks:\n  all: { url: "http://127.0.0.1:9/", secretFrom: WEBHOOK_SECRET, allowPrivateAddresses: true }\n'
const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
const ID = '11111111-2222-4333-8444-555555555555'

for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  async function start (t: Test, change: (storage: ObjectStorage) => Partial<ObjectStorage> = () => ({})) {
    let offset = 0
    const service = await startService(t, s3, {
      engine,
      policies: POLICIES + WEBHOOK,
      env: { WEBHOOK_SECRET },
      adapt: services => ({ ...services, now: () => new Date(Date.now() + offset), objectStorage: { ...services.objectStorage, ...change(services.objectStorage) } })
    })
    const { call, services, bucket } = service
    const ada = await service.token('ada')
    const create = async (body: object = {}) => (await call('POST', '/uploads', { token: ada, body: { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length, ...body } })).json()
    return {
      ...service,
      ada,
      create,
      async ready () {
        const { file, upload } = await create()
        await send(upload, picture)
        return (await call('POST', `/uploads/${file.id}/complete`, { token: ada })).json().file as { id: string, key: string }
      },
      put: async (key: string) => { await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: picture })) },
      outbox: async () => (await services.database.selectFrom('outbox').select('type').execute()).map(({ type }) => type),
      keys: async () => await listKeys(s3.client, bucket),
      after: (milliseconds: number) => { offset += milliseconds },
      async run (apply = false): Promise<Finding[]> {
        const findings: Finding[] = []
        for await (const finding of reconcile(services, { apply })) findings.push(finding)
        return findings
      }
    }
  }

  t.test('finds nothing where nothing is wrong, in any state and at any age', async t => {
    const { create, ready, run, after, call, ada, services, keys } = await start(t)
    await ready()
    const { file, upload } = await create({ policy: 'forms' })
    await create({ policy: 'parts', method: 'multipart' })
    const aborted = await create()
    await call('DELETE', `/uploads/${aborted.file.id}`, { token: ada })
    t.ok(file && upload)
    for (const days of [0, 3]) {
      after(days * DAY)
      t.strictSame(await run(), [])
      t.strictSame(await run(true), [])
    }
    await sweepUploads(services)
    t.strictSame(await run(true), [])
    t.equal((await keys()).length, 1)
  })

  t.test('objects of an upload that was never completed and of a file that was replaced have their rows, at any age', async t => {
    const { create, ready, run, after, keys, call, ada } = await start(t)
    const unsettled = await create()
    await send(unsettled.upload, picture)
    const replaced = await ready()
    const replacement = await create({ replaces: replaced.id })
    await send(replacement.upload, picture)
    const { key } = (await call('POST', `/uploads/${replacement.file.id}/complete`, { token: ada })).json().file
    t.notMatch(key, replaced.id, 'it has the key of its replacement')
    after(3 * DAY)
    t.strictSame(await run(true), [])
    t.ok((await keys()).includes(unsettled.file.key))
    t.ok((await keys()).includes(key))
  })

  t.test('F25: an object without a row is told in a dry run and deleted with apply, but a young one is left', async t => {
    const { put, run, after, keys, ready } = await start(t)
    const { key } = await ready()
    await put(`pictures/ada/${ID}.png`)
    await put(`staging/${ID}`)
    t.strictSame(await run(true), [], 'both may be on their way')
    after(3 * DAY)
    t.match(await run(), [{ kind: 'object-without-row', key: `staging/${ID}`, action: 'none' }, { kind: 'object-without-row', key: `pictures/ada/${ID}.png`, sizeBytes: picture.length, action: 'none' }].sort((left, right) => left.key < right.key ? 1 : -1))
    t.equal((await keys()).length, 3, 'nothing was changed')
    t.match((await run(true)).map(({ action }) => action), ['deleted', 'deleted'])
    t.strictSame(await keys(), [key])
    t.strictSame(await run(), [])
  })

  t.test('leaves alone what this service could not have made, below its prefixes and beside them', async t => {
    const { put, run, after, keys } = await start(t)
    const foreign = ['backup.tar', 'pictures/logo.png', `pictures/ada/${ID}.png/thumb`, `pictures/a b/${ID}.png`, 'staging/notes.txt', `notes/2026/${ID}`, `other/${ID}.png`]
    for (const key of foreign) await put(key)
    after(3 * DAY)
    t.strictSame(await run(true), [])
    t.strictSame(await keys(), foreign.sort())
  })

  t.test('F24: a ready row without its object is told, and with apply by file.missing, once for each run; the file stays', async t => {
    const { ready, run, services, call, ada, bucket } = await start(t)
    const lost = await ready()
    await ready()
    await s3.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: lost.key }))
    const events = async () => (await services.database.selectFrom('outbox').select('file_id').where('type', '=', 'file.missing').execute()).map(({ file_id: id }) => id)
    t.match(await run(), [{ kind: 'row-without-object', fileId: lost.id, key: lost.key, action: 'none' }])
    t.strictSame(await events(), [])
    t.match(await run(true), [{ kind: 'row-without-object', fileId: lost.id, action: 'told' }])
    t.strictSame(await events(), [lost.id])
    t.match((await call('GET', `/files/${lost.id}`, { token: ada })).json(), { file: { status: 'ready' } })
  })

  t.test('I2: an object that is another one now is told and left', async t => {
    const { ready, run, bucket } = await start(t)
    const { id, key } = await ready()
    await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: png(2) }))
    for (const apply of [false, true]) t.match(await run(apply), [{ kind: 'object-changed', key, fileId: id, action: 'none' }])
  })

  t.test('F4: multipart uploads without a row are aborted with apply, but neither young nor foreign nor awaited ones', async t => {
    const { create, run, after, bucket } = await start(t)
    const { file } = await create({ policy: 'parts', method: 'multipart' })
    for (const key of [`parts/${ID}`, file.key, 'other/upload']) await s3.client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: key }))
    t.strictSame(await run(true), [])
    after(3 * DAY)
    const findings = await run(true)
    t.strictSame(findings.map(finding => ({ ...finding, initiatedAt: undefined })).map(finding => JSON.stringify(finding)).sort(), [`parts/${ID}`, file.key].map(key => JSON.stringify({ kind: 'multipart-without-row', bucket, key, action: 'aborted' })).sort())
    t.strictSame((await listUploads(s3.client, bucket)).map(({ key }) => key).sort(), [file.key, 'other/upload'].sort())
    t.strictSame(await run(true), [])
  })

  t.test('I5: counters that drifted are told, and repaired with apply, also those that say nothing', async t => {
    const { ready, create, run, services } = await start(t)
    await ready()
    await create()
    await services.database.updateTable('usage').set({ files: 7, bytes: 1, pending: 0 }).execute()
    const drift = { kind: 'usage-drift', owner: 'ada', policy: 'pictures', counted: { files: 7, bytes: 1, pending: 0 }, actual: { files: 2, bytes: 2 * picture.length, pending: 1 } }
    t.match(await run(), [{ ...drift, action: 'none' }])
    t.match(await run(true), [{ ...drift, action: 'repaired' }])
    t.match(await services.database.selectFrom('usage').selectAll().execute(), [drift.actual])
    t.strictSame(await run(), [])
  })

  t.test('a purged tombstone does not shield an object, one that is not purged does', async t => {
    const { create, call, ada, services, put, run, after, keys } = await start(t)
    const { file } = await create()
    await call('DELETE', `/uploads/${file.id}`, { token: ada })
    await put(file.key)
    after(3 * DAY)
    t.strictSame(await run(true), [], 'the sweeper will see to it')
    await sweepUploads(services)
    t.strictSame(await keys(), [])
    await put(file.key)
    t.match(await run(true), [{ kind: 'object-without-row', key: file.key, action: 'deleted' }])
  })

  t.test('what changes while it looks is looked at again, not told', async t => {
    const made: { ready?: () => Promise<unknown> } = {}
    let isFirst = true
    const { ready, run, services } = await start(t, storage => ({
      // A row and its object come after their page was read, and an object that is listed gets its row.
      async * listObjects (bucket, prefix) {
        if (prefix === 'pictures/') yield * [{ key: `pictures/ada/${ID}.png`, sizeBytes: 1, etag: '"x"', modifiedAt: new Date(0) }]
        yield * storage.listObjects(bucket, prefix)
        if (isFirst && prefix === 'pictures/') await made.ready?.()
        isFirst = false
      }
    }))
    made.ready = ready
    const { id } = await ready()
    await services.database.updateTable('files').set({ object_key: `pictures/ada/${ID}.png` }).where('id', '=', id).execute()
    const findings = await run()
    t.strictSame(findings.map(({ kind }) => kind), ['row-without-object'], 'only the one whose object is really not there')
  })

  t.test('a file that is replaced or deleted while the store is asked is not told as missing or changed', async t => {
    for (const apply of [false, true]) {
      const during: { head?: (() => Promise<unknown>) | undefined } = {}
      const { create, ready, call, ada, put, run, services, outbox } = await start(t, storage => ({
        // Another object than its row says, so that the file is looked at alone.
        async * listObjects (bucket, prefix) {
          for await (const object of storage.listObjects(bucket, prefix)) yield { ...object, etag: '"other"' }
        },
        async headObject (location) {
          const change = during.head
          during.head = undefined
          await change?.()
          return await storage.headObject(location)
        }
      }))
      const file = await ready()
      const replacement = await create({ replaces: file.id })
      await send(replacement.upload, picture)
      during.head = async () => { t.equal((await call('POST', `/uploads/${replacement.file.id}/complete`, { token: ada })).statusCode, 200) }
      t.strictSame(await run(apply), [], 'replaced')
      during.head = async () => { t.equal((await call('DELETE', `/files/${file.id}`, { token: ada })).statusCode, 204) }
      t.strictSame(await run(apply), [], 'deleted')
      const changed = await ready()
      const row = services.database.updateTable('files').where('id', '=', changed.id)
      const { etag } = await services.database.selectFrom('files').select('etag').where('id', '=', changed.id).executeTakeFirstOrThrow()
      await row.set({ etag: '"old"' }).execute()
      await put(`${changed.key}.new`)
      during.head = async () => { await row.set({ object_key: `${changed.key}.new`, etag }).execute() }
      t.strictSame(await run(apply), [], 'replaced before what was there is deleted')
      t.notOk((await outbox()).includes('file.missing'))
    }
  })

  t.test('a store that lists in another order gives the same answer', async t => {
    const { ready, put, run, after } = await start(t, storage => ({
      async * listObjects (bucket, prefix) {
        const all: ListedObject[] = []
        for await (const object of storage.listObjects(bucket, prefix)) all.push(object)
        yield * all.reverse()
      }
    }))
    for (let count = 0; count < 5; count++) await ready()
    await put(`pictures/ada/${ID}.png`)
    after(3 * DAY)
    t.match(await run(), [{ kind: 'object-without-row', key: `pictures/ada/${ID}.png` }])
  })
}

t.test('F24: presignd reconcile prints lines of JSON and ends with 2 while something is left, else with 0', async t => {
  const { config, call, token, bucket } = await startService(t, s3)
  const ada = await token('ada')
  const { file, upload } = (await call('POST', '/uploads', { token: ada, body: { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length } })).json()
  await send(upload, picture)
  await call('POST', `/uploads/${file.id}/complete`, { token: ada })
  const env = {
    ...await testEnvironment(t),
    DATABASE_URL: config.database.url,
    S3_BUCKET: bucket,
    S3_ENDPOINT: s3.endpoint,
    AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey
  }
  const run = async (...args: string[]) => {
    const running = runCli(t, ['reconcile', ...args], env)
    const code = await running.ended
    return { code, lines: running.stdout().trim().split('\n').filter(line => line !== '').map(line => JSON.parse(line)), stderr: running.stderr() }
  }
  t.strictSame(await run(), { code: 0, lines: [{ dryRun: true, findings: {}, left: 0 }], stderr: '' })
  await s3.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: file.key }))
  t.strictSame(await run('--apply'), {
    code: 2,
    lines: [{ kind: 'row-without-object', bucket, key: file.key, fileId: file.id, action: 'told' }, { dryRun: false, findings: { 'row-without-object': 1 }, left: 1 }],
    stderr: ''
  })
  t.match(await run('--delete'), { code: 1, lines: [], stderr: /^presignd: .*--delete/ })
})
