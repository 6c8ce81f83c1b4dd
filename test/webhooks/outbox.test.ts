import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { HTML } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { ENGINES, startService, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { hook, outboxRows, picture, startWebhookService, withWebhooks } from '../helpers/webhooks.js'

const s3 = await startTestS3(t)
/** Nobody listens there, and nothing is delivered here. */
const NOWHERE = 'http://127.0.0.1:1/'
const MINUTE = 60_000

for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  const start = async (t: Test, webhooks = `app: ${hook(NOWHERE)}`) => await startWebhookService(t, s3, { engine, webhooks })

  t.test('I6: each change writes one event, in its order', async t => {
    const { upload, create, complete, call, ada, outbox, sweep, after, services } = await start(t)
    const ready = await upload()
    await complete(ready.id)
    await call('PATCH', `/files/${ready.id}`, { token: ada, body: { filename: 'b.png' } })
    await services.files.reportMissing(ready.id, ready.key, services.now())
    await call('DELETE', `/files/${ready.id}`, { token: ada })
    await call('DELETE', `/files/${ready.id}`, { token: ada })
    const rejected = await create()
    await send(rejected.upload, Buffer.concat([HTML, Buffer.alloc(picture.length)]).subarray(0, picture.length))
    t.equal((await complete(rejected.file.id)).json().code, 'OBJECT_MISMATCH')
    const aborted = await create()
    await call('DELETE', `/uploads/${aborted.file.id}`, { token: ada })
    const vanished = await create()
    after(16 * MINUTE)
    t.match(await sweep(), { expired: 1 })
    const rows = await outbox()
    const typesOf = (id: string) => rows.filter(row => row.file_id === id).map(({ type }) => type)
    t.strictSame(typesOf(ready.id), ['file.ready', 'file.missing', 'file.deleted'])
    t.strictSame(typesOf(rejected.file.id), ['file.rejected'])
    t.strictSame(typesOf(aborted.file.id), ['file.expired'])
    t.strictSame(typesOf(vanished.file.id), ['file.expired'])
    t.equal(rows.length, 6)
    t.equal(new Set(rows.map(({ id }) => id)).size, 6)
    const sequences = rows.filter(row => row.file_id === ready.id).map(({ sequence }) => sequence)
    t.strictSame(sequences, [...new Set(sequences)].sort((left, right) => left - right), 'sequences rise')
    for (const row of rows) t.equal(JSON.parse(row.payload).data.sequence, row.sequence)
  })

  t.test('a body says what a receiver needs to know, and not where the object is', async t => {
    const { upload, create, complete, outbox } = await start(t, `app: ${hook(NOWHERE)}\nfull: ${hook(NOWHERE, 'includeKey: true')}`)
    const file = await upload({ metadata: { album: 'summer' } })
    const rejected = await create()
    await send(rejected.upload, Buffer.concat([HTML, Buffer.alloc(picture.length)]).subarray(0, picture.length))
    await complete(rejected.file.id)
    const [row, full, reject] = (await outbox()).sort((left, right) => left.created_at - right.created_at || (left.endpoint < right.endpoint ? -1 : 1))
    const body = JSON.parse(row?.payload ?? '')
    const data = { id: file.id, policy: 'pictures', owner: 'ada', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length, metadata: { album: 'summer' }, sequence: row?.sequence }
    t.strictSame(body, { type: 'file.ready', timestamp: file.readyAt, data })
    t.strictSame(JSON.parse(full?.payload ?? '').data, { ...data, bucket: file.bucket, key: file.key })
    t.match(JSON.parse(reject?.payload ?? ''), { type: 'file.rejected', data: { rejectedReason: /./ } })
  })

  t.test('an endpoint gets the events and the policies that it asks for', async t => {
    const { upload, call, ada, outbox } = await start(t, `deaths: ${hook(NOWHERE, 'events: [file.deleted]')}\nfew: ${hook(NOWHERE, 'policies: [few, notes]')}\nall: ${hook(NOWHERE)}`)
    const picture = await upload()
    await upload({ policy: 'few' })
    await call('DELETE', `/files/${picture.id}`, { token: ada })
    const told = (await outbox()).map(({ endpoint, type }) => `${endpoint} ${type}`).sort()
    t.strictSame(told, ['all file.deleted', 'all file.ready', 'all file.ready', 'deaths file.deleted', 'few file.ready'])
  })

  t.test('without webhooks nothing is asked or written', async t => {
    const { services, call, token } = await startService(t, s3, { engine })
    const ada = await token('ada')
    const { file, upload } = (await call('POST', '/uploads', { token: ada, body: { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length } })).json()
    await send(upload, picture)
    await sql`drop table outbox`.execute(services.database)
    await sql`drop table disabled_webhooks`.execute(services.database)
    await sql`drop table webhook_urls`.execute(services.database)
    t.equal((await call('POST', `/uploads/${file.id}/complete`, { token: ada })).statusCode, 200)
    t.equal((await call('DELETE', `/files/${file.id}`, { token: ada })).statusCode, 204)
  })

  t.test('a replacement is one event, of the file that has new content', async t => {
    const { upload, outbox } = await start(t)
    const first = await upload()
    const second = await upload({ replaces: first.id })
    t.equal(second.id, first.id)
    const rows = await outbox()
    t.strictSame(rows.map(({ file_id: id, type }) => [id, type]), [[first.id, 'file.ready'], [first.id, 'file.ready']])
    t.ok(Number(rows[1]?.sequence) > Number(rows[0]?.sequence))
  })

  t.test('I6: whoever wins a race, there is one event for each change', async t => {
    const { create, complete, call, ada, outbox, sweep, after, services } = await start(t)
    const ROUNDS = 15
    for (let round = 0; round < ROUNDS; round++) {
      const { file, upload } = await create()
      await send(upload, picture)
      after(2 * MINUTE)
      const end = round % 2 === 0 ? `/files/${file.id}` : `/uploads/${file.id}`
      await Promise.all([complete(file.id), complete(file.id), sweep(), call('DELETE', end, { token: ada }), sweep()])
    }
    const rows = await outbox()
    const files = await services.database.selectFrom('files').select(['id', 'status', 'ready_at']).execute()
    for (const { id, status, ready_at: readyAt } of files) {
      const types = rows.filter(row => row.file_id === id).map(({ type }) => type)
      t.strictSame(types, [...(readyAt === null ? [] : ['file.ready']), ...(status === 'ready' ? [] : [`file.${status}`])])
    }
    t.equal(files.length, ROUNDS)
  })

  t.test('F46: an event that cannot be written undoes the change; the retry writes it once', async t => {
    const { create, complete, outbox, services, call, ada } = await start(t)
    const metadata = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`m${index}`, 'x'.repeat(1024)]))
    const { file, upload } = await create({ metadata })
    await send(upload, picture)
    const heal = await breakOutbox(services.database, engine)
    const failed = await complete(file.id)
    t.equal(failed.statusCode, 503)
    t.match(failed.json(), { code: 'NOT_READY', retryAfterSeconds: Number })
    t.not((await call('GET', `/files/${file.id}`, { token: ada })).json().file.status, 'ready')
    t.match({ data: [(await call('GET', '/usage', { token: ada })).json().data[0]] }, { data: [{ policy: 'pictures', files: 1, pending: 1 }] })
    t.strictSame(await outbox(), [])
    await heal()
    t.equal((await complete(file.id)).statusCode, 200)
    t.strictSame((await outbox()).map(({ type }) => type), ['file.ready'])
    const healAgain = await breakOutbox(services.database, engine)
    t.equal((await call('DELETE', `/files/${file.id}`, { token: ada })).statusCode, 503)
    t.equal((await call('GET', `/files/${file.id}`, { token: ada })).json().file.status, 'ready')
    await healAgain()
    t.equal((await call('DELETE', `/files/${file.id}`, { token: ada })).statusCode, 204)
    t.strictSame((await outbox()).map(({ type }) => type), ['file.ready', 'file.deleted'])
  })

  t.test('F22: several who deliver get each event once, in the order of its file', async t => {
    const { upload, services } = await start(t)
    const { outbox } = services.webhooks
    await upload()
    const [row] = await outboxRows(services)
    const FILES = 30
    const copies = Array.from({ length: FILES * 3 }, (_, index) => ({ ...row!, id: `copy-${index}`, file_id: `file-${index % FILES}`, sequence: Math.floor(index / FILES) + 1 }))
    await services.database.deleteFrom('outbox').execute()
    await services.database.insertInto('outbox').values(copies).execute()
    const sent: Array<{ fileId: string, sequence: number }> = []
    await Promise.all([1, 2, 3, 4].map(async worker => {
      for (;;) {
        const claimed = await outbox.claim('app', services.now(), 7, `worker ${worker}`)
        if (claimed.length === 0) return
        for (const event of claimed) {
          sent.push(event)
          t.equal(await outbox.markDelivered(event, 200, services.now()), true)
        }
      }
    }))
    const left = await outboxRows(services)
    // A worker that finds the rest in other hands ends: one more look takes what was blocked then.
    for (;;) {
      const claimed = await outbox.claim('app', services.now(), 50, 'last')
      if (claimed.length === 0) break
      for (const event of claimed) {
        sent.push(event)
        await outbox.markDelivered(event, 200, services.now())
      }
    }
    t.equal(left.length, FILES * 3)
    t.equal(sent.length, FILES * 3, 'each once')
    for (let file = 0; file < FILES; file++) t.strictSame(sent.filter(({ fileId }) => fileId === `file-${file}`).map(({ sequence }) => sequence), [1, 2, 3])
  })

  t.test('F23: who lost the lease changes nothing', async t => {
    const { upload, services, after, outbox: rows } = await start(t)
    const { outbox } = services.webhooks
    await upload()
    const [slow] = await outbox.claim('app', services.now(), 1, 'slow')
    after(61_000)
    const [fast] = await outbox.claim('app', services.now(), 1, 'fast')
    t.equal(fast?.id, slow?.id)
    t.equal(await outbox.markFailed(slow!, { nextAttemptAt: null, status: 500, error: 'x' }, services.now()), false)
    t.equal(await outbox.markDelivered(fast!, 200, services.now()), true)
    t.equal(await outbox.markDelivered(slow!, 201, services.now()), false)
    t.match(await rows(), [{ last_status: 200, dead_at: null, lease_token: null }])
  })

  t.test('what was delivered is forgotten after a week, what is dead after a month', async t => {
    const { upload, services, after, outbox: rows } = await start(t)
    const { outbox } = services.webhooks
    const DAY = 24 * 60 * MINUTE
    for (const status of ['delivered', 'dead', 'pending']) {
      await upload()
      const [event] = status === 'pending' ? [] : await outbox.claim('app', services.now(), 1, status)
      if (status === 'delivered') await outbox.markDelivered(event!, 200, services.now())
      if (status === 'dead') await outbox.markFailed(event!, { nextAttemptAt: null, status: 500, error: 'x' }, services.now())
    }
    after(7 * DAY - MINUTE)
    t.equal(await outbox.prune(['app'], services.now()), 0)
    after(2 * MINUTE)
    t.equal(await outbox.prune(['app'], services.now()), 1)
    after(23 * DAY)
    t.equal(await outbox.prune(['app'], services.now()), 1)
    t.match(await rows(), [{ delivered_at: null, dead_at: null }], 'what waits for an endpoint that is there stays')
    t.equal(await outbox.prune(['other'], services.now()), 1)
  })

  t.test('the oldest event that waits is one of a webhook that is in the policies file', async t => {
    const { upload, outbox, config } = await start(t, `app: ${hook(NOWHERE)}\nremoved: ${hook(NOWHERE)}`)
    await upload()
    const oldestOf = async (webhooks: string) => await (await startWebhookService(t, s3, { engine, webhooks, env: { DATABASE_URL: config.database.url } })).services.webhooks.outbox.findOldest()
    t.equal(await oldestOf(`app: ${hook(NOWHERE)}`), (await outbox())[0]?.created_at)
    t.equal(await oldestOf(`other: ${hook(NOWHERE)}`), null)
    const { services } = await startService(t, s3, { engine, env: { DATABASE_URL: config.database.url } })
    t.equal(await services.webhooks.outbox.findOldest(), null, 'nor when there are no webhooks at all')
  })

  t.test('a policies file with a webhook that cannot work stops the start', async t => {
    await t.rejects(startService(t, s3, { engine, policies: withWebhooks(`app: ${hook(NOWHERE)}`) }), { name: 'PolicyFileError', problems: [/: webhook app, secretFrom: HOOK_SECRET is not set/] })
    for (const [entry, line] of [
      [hook(NOWHERE, 'events: [file.red]'), /: webhook app, events.0: must be equal to one of the allowed values/],
      [hook(NOWHERE, 'evnets: []'), /: webhook app: "evnets" is not known/],
      ['{ url: "https://a.example" }', /: webhook app: must have required property 'secretFrom'/],
      [hook('http://a.example').replace(', allowPrivateAddresses: true', ''), /: webhook app, url: it must be an https URL/]
    ] as const) {
      await t.rejects(startService(t, s3, { engine, policies: withWebhooks(`app: ${entry}`), env: { HOOK_SECRET: 'whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=' } }), { name: 'PolicyFileError', problems: [line] })
    }
  })
}

/** A disk that is full for new rows of the outbox; rows that are there can still change. */
async function breakOutbox (database: Parameters<typeof outboxRows>[0]['database'], engine: Engine): Promise<() => Promise<void>> {
  if (engine === 'postgres') {
    await sql`create or replace function full_disk() returns trigger language plpgsql as $$ begin raise exception 'could not extend file' using errcode = '53100'; end $$`.execute(database)
    await sql`create trigger full_disk before insert on outbox for each row execute function full_disk()`.execute(database)
    return async () => { await sql`drop trigger full_disk on outbox`.execute(database) }
  }
  await sql`pragma incremental_vacuum`.execute(database)
  const { rows: [size] } = await sql<{ page_count: number }>`pragma page_count`.execute(database)
  await sql.raw(`pragma max_page_count = ${size?.page_count}`).execute(database)
  return async () => { await sql`pragma max_page_count = 1000000`.execute(database) }
}
