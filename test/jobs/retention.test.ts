import { writeFileSync } from 'node:fs'
import { HeadObjectCommand } from '@aws-sdk/client-s3'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { ENGINES, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { hook, startWebhookService, withWebhooks } from '../helpers/webhooks.js'
import { png } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { sweepUploads } from '../../src/jobs/sweep-uploads.js'

const s3 = await startTestS3(t)
const DAY = 24 * 3_600_000
const WEBHOOKS = `app: ${hook('http://127.0.0.1:1/')}`

const policies = (retention: string) => `
policies:
  pictures: { contentTypes: [image/png], maxSize: 1MiB, key: "pictures/{fileId}", ${retention} }
  kept: { contentTypes: [image/png], maxSize: 1MiB, key: "kept/{fileId}" }
`

for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  async function start (t: Test, retention: string, env: Record<string, string> = {}) {
    const service = await startWebhookService(t, s3, { engine, policies: policies(retention), webhooks: WEBHOOKS, env })
    const { services, bucket } = service
    return {
      ...service,
      /** Makes the content of a file older. The store's clock cannot be moved, so this is done to the row. */
      age: async (id: string, milliseconds: number) => { await services.database.updateTable('files').set({ ready_at: sql`ready_at - ${sql.lit(milliseconds)}` }).where('id', '=', id).execute() },
      status: async (id: string) => (await services.database.selectFrom('files').select('status').where('id', '=', id).executeTakeFirstOrThrow()).status,
      stored: async (key: string) => await s3.client.send(new HeadObjectCommand({ Bucket: bucket, Key: key })).then(() => true, () => false),
      usage: async () => await services.database.selectFrom('usage').select(['policy', 'files', 'bytes', 'pending']).orderBy('policy').execute()
    }
  }

  t.test('a file is deleted when its policy keeps it no longer, and not before', async t => {
    const { upload, after, age, sweep, status, stored, usage, outbox, call, ada } = await start(t, 'retentionDays: 30')
    const old = await upload()
    const other = await upload({ policy: 'kept' })
    const young = await upload()
    await age(old.id, 30 * DAY - 60_000)
    await age(other.id, 3000 * DAY)
    t.match(await sweep(), { deleted: 0 })
    after(2 * 60_000)
    t.match(await sweep(), { deleted: 1 })
    t.strictSame([await status(old.id), await status(young.id), await status(other.id)], ['deleted', 'ready', 'ready'])
    t.strictSame([await stored(old.key), await stored(young.key), await stored(other.key)], [false, true, true])
    const bytes = png().length
    t.strictSame((await usage()).map(row => ({ ...row })), [{ policy: 'kept', files: 1, bytes, pending: 0 }, { policy: 'pictures', files: 1, bytes, pending: 0 }])
    t.strictSame((await outbox()).filter(({ file_id: id }) => id === old.id).map(({ type }) => type), ['file.ready', 'file.deleted'])
    t.equal((await call('GET', `/files/${old.id}`, { token: ada })).statusCode, 404)
    t.match(await sweep(), { deleted: 0 })
  })

  t.test('what counts is the age of the content', async t => {
    const { upload, age, after, sweep, status } = await start(t, 'retentionDays: 30')
    const file = await upload()
    await age(file.id, 31 * DAY)
    await upload({ replaces: file.id })
    after(2 * DAY)
    t.match(await sweep(), { deleted: 0 })
    t.equal(await status(file.id), 'ready')
    after(29 * DAY)
    t.match(await sweep(), { deleted: 1 })
  })

  t.test('the policies file of now counts, for older files too', async t => {
    const before = await start(t, 'visibility: private')
    const file = await before.upload()
    before.after(20 * DAY)
    t.match(await before.sweep(), { deleted: 0 })
    writeFileSync(before.config.policiesFile, withWebhooks(WEBHOOKS, policies('retentionDays: 10')))
    const after = await start(t, 'retentionDays: 10', { DATABASE_URL: before.config.database.url, S3_BUCKET: before.bucket })
    after.after(20 * DAY)
    t.match(await after.sweep(), { deleted: 1 })
    t.equal(await after.status(file.id), 'deleted')
  })

  t.test('content that was replaced between the look and the deletion stays', async t => {
    const { upload, age, services, status } = await start(t, 'retentionDays: 30')
    const file = await upload()
    await age(file.id, 31 * DAY)
    const findOlder: typeof services.files.findOlder = async (...query) => {
      const found = await services.files.findOlder(...query)
      if (found.length > 0) await upload({ replaces: file.id })
      return found
    }
    t.match(await sweepUploads({ ...services, files: { ...services.files, findOlder } }), { deleted: 0 })
    t.equal(await status(file.id), 'ready')
  })

  t.test('several sweepers delete each file once', async t => {
    const { upload, after, sweep, outbox, services, usage } = await start(t, 'retentionDays: 30')
    const file = await upload()
    const row = await services.database.selectFrom('files').selectAll().where('id', '=', file.id).executeTakeFirstOrThrow()
    await services.database.insertInto('files').values(Array.from({ length: 250 }, (_, index) => ({ ...row, id: `copy-${index}`, object_key: `copy/${index}` }))).execute()
    await services.database.updateTable('usage').set({ files: 251, bytes: 251 * png().length }).execute()
    after(31 * DAY)
    const reports = await Promise.all([sweep(), sweep(), sweep()])
    t.equal(reports.reduce((sum, { deleted }) => sum + deleted, 0), 251)
    t.equal((await outbox()).filter(({ type }) => type === 'file.deleted').length, 251)
    t.match(await usage(), [{ files: 0, bytes: 0, pending: 0 }])
  })

  t.test('an upload that becomes due waits for some of what is old, not for all of it', async t => {
    const { upload, create, after, services, status } = await start(t, 'retentionDays: 30')
    const file = await upload()
    const row = await services.database.selectFrom('files').selectAll().where('id', '=', file.id).executeTakeFirstOrThrow()
    await services.database.insertInto('files').values(Array.from({ length: 250 }, (_, index) => ({ ...row, id: `copy-${index}`, object_key: `copy/${index}` }))).execute()
    await services.database.updateTable('usage').set({ files: 251, bytes: 251 * png().length }).execute()
    const late = await create({ policy: 'kept' })
    await send(late.upload, png())
    const checkAt = async (time: number) => { await services.database.updateTable('files').set({ next_check_at: time }).where('id', '=', late.file.id).execute() }
    await checkAt(Date.now() + 32 * DAY)
    after(31 * DAY)
    const statuses: string[] = []
    const findOlder: typeof services.files.findOlder = async (...query) => {
      statuses.push(await status(late.file.id))
      if (statuses.length === 1) await checkAt(0)
      return await services.files.findOlder(...query)
    }
    t.match(await sweepUploads({ ...services, files: { ...services.files, findOlder } }), { swept: 1, ready: 1, deleted: 251 })
    t.strictSame(statuses, ['pending', 'ready', 'ready'])
  })

  t.test('old files are found by an index', async t => {
    const { services } = await start(t, 'retentionDays: 30')
    const look = sql`select * from files where policy = ${'pictures'} and status = 'ready' and ready_at < ${1} order by ready_at limit ${100}`
    const { rows } = engine === 'sqlite'
      ? await sql`explain query plan ${look}`.execute(services.database)
      : await services.database.transaction().execute(async transaction => {
        await sql`set local enable_seqscan = off`.execute(transaction)
        return await sql`explain ${look}`.execute(transaction)
      })
    t.match(JSON.stringify(rows), /files_by_age/)
  })
}
