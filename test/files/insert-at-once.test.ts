import pg from 'pg'
import t, { type Test } from 'tap'
import { openDatabase } from '../../src/database/database.js'
import { migrate } from '../../src/database/migrate.js'
import { createFilesRepository } from '../../src/files/files-repository.js'
import type { NewUpload } from '../../src/files/count-by-owner.js'
import { insertAtOnce } from '../../src/files/insert-at-once.js'
import type { NewFile } from '../../src/files/file-row.js'
import { newFile } from '../helpers/new-file.js'
import { testDatabaseUrl, untilWaiting } from '../helpers/postgres.js'

const upload = (change: Partial<NewFile> = {}, quota: NewUpload['quota'] = {}, ticketId?: string): NewUpload => ({ file: newFile(change), quota, ticketId })
const idsOf = (uploads: readonly NewUpload[]) => uploads.map(({ file }) => file.id).sort()

async function start (t: Test) {
  const url = await testDatabaseUrl(t)
  const statements: string[] = []
  const errors: unknown[] = []
  const database = openDatabase(url, {
    onError: () => {},
    onQuery (sql, _milliseconds, error) {
      statements.push(sql)
      if (error !== undefined) errors.push(error)
    }
  })
  t.teardown(async () => { await database.destroy() })
  await migrate(database)
  statements.length = 0
  return {
    url,
    database,
    files: createFilesRepository(database),
    /** The statements since it was asked last. */
    sent: () => statements.splice(0),
    errors,
    usage: async () => await database.selectFrom('usage').selectAll().orderBy('owner').orderBy('policy').execute(),
    ids: async () => (await database.selectFrom('files').select('id').orderBy('id').execute()).map(({ id }) => id)
  }
}

t.test('uploads of many owners and policies are one statement, that of their first and that of their next ones', async t => {
  const { files, sent, usage, ids } = await start(t)
  const all: NewUpload[] = []
  for (let round = 1; round <= 2; round++) {
    const uploads = ['ada', 'max', 'eve'].flatMap(owner => ['pictures', 'notes'].flatMap(policy => [upload({ owner, policy, sizeBytes: 7 }), upload({ owner, policy, sizeBytes: null, reservedBytes: 1 })]))
    all.push(...uploads)
    const outcomes = await Promise.all(uploads.map(async item => await files.insertPending([item])))
    t.strictSame(outcomes.flat(), uploads.map(({ file }) => ({ outcome: 'inserted', file })))
    t.equal(sent().length, 1)
    t.strictSame((await usage()).map(({ owner, policy, ...held }) => [owner, policy, held]),
      ['ada', 'eve', 'max'].flatMap(owner => ['notes', 'pictures'].map(policy => [owner, policy, { tenant: '', files: 2 * round, bytes: 8 * round, pending: 2 * round }])))
    t.strictSame(await ids(), idsOf(all))
    sent()
  }
})

t.test('a batch of a hundred with all the metadata that they may have is one statement, too', async t => {
  const { database, files, sent } = await start(t)
  const metadata = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`key${index}`, 'ü'.repeat(250)]))
  const uploads = Array.from({ length: 100 }, () => upload({ metadata }))
  const outcomes = await files.insertPending(uploads)
  t.ok(outcomes.every(({ outcome }) => outcome === 'inserted'))
  t.equal(sent().length, 1)
  const rows = await database.selectFrom('files').select('metadata').execute()
  t.equal(rows.length, 100)
  t.ok(rows.every(row => row.metadata === JSON.stringify(metadata)))
})

const limits: ReadonlyArray<[name: string, quota: NewUpload['quota'], left: number]> = [
  ['files', { files: 3 }, 3],
  ['bytes', { bytes: 39 }, 3],
  ['pending uploads', { pending: 3 }, 3]
]
for (const [name, quota, left] of limits) {
  t.test(`T31: up to the quota of ${name} all goes at once, and beyond it nothing does`, async t => {
    const { database, usage, ids, errors } = await start(t)
    const [first, ...next] = Array.from({ length: left }, () => upload({}, quota))
    t.match(await insertAtOnce(database, [first as NewUpload]), [{ outcome: 'inserted' }])
    t.equal(await insertAtOnce(database, [...next, upload({}, quota), upload({ owner: 'max' })]), null, 'with what is held already')
    t.match(await insertAtOnce(database, next), next.map(() => ({ outcome: 'inserted' })))
    t.equal(await insertAtOnce(database, [upload({ owner: 'max' }), upload({}, quota)]), null)
    t.equal(await insertAtOnce(database, Array.from({ length: left + 1 }, () => upload({ owner: 'max' }, quota))), null, 'with nothing held')
    t.strictSame(await usage(), [{ tenant: '', owner: 'ada', policy: 'pictures', files: left, bytes: 10 * left, pending: left }])
    t.strictSame(await ids(), idsOf([first as NewUpload, ...next]))
    t.strictSame(errors, [], 'for which PostgreSQL writes nothing to its log')
  })
}

t.test('of two quotas of one policy, as when policies were read anew in between, the lower one counts', async t => {
  const { database } = await start(t)
  for (const quotas of [[{ files: 1 }, {}], [{}, { files: 1 }]]) t.equal(await insertAtOnce(database, quotas.map(quota => upload({}, quota))), null)
})

/** A connection that holds this owner's counters until `end`, having changed them. */
async function hold (t: Test, url: string, owner: string) {
  const rival = new pg.Client({ connectionString: url })
  await rival.connect()
  t.teardown(async () => { await rival.end() })
  await rival.query('begin')
  await rival.query('update usage set files = files + 1, pending = pending + 1 where owner = $1', [owner])
  return { end: async () => { await rival.query('commit') } }
}

t.test('T31: when somebody else fills a quota in between, nothing of it happens, and then each decides for itself', async t => {
  const { url, database, files, usage, errors } = await start(t)
  /** While another process reserves the last place. */
  async function race<T> (run: () => Promise<T>): Promise<T> {
    const rival = await hold(t, url, 'eve')
    const running = run()
    await untilWaiting(url)
    await rival.end()
    return await running
  }
  for (const owner of ['ada', 'eve', 'max']) await files.insertPending([upload({ owner })])
  const group = (held: number) => ['ada', 'eve', 'max'].map(owner => upload({ owner }, { files: held + 1 }))

  t.equal(await race(async () => await insertAtOnce(database, group(1))), null, 'one of three')
  t.strictSame((await usage()).map(({ owner, files }) => [owner, files]), [['ada', 1], ['eve', 2], ['max', 1]])
  t.equal(await race(async () => await insertAtOnce(database, [upload({ owner: 'eve' }, { files: 3 })])), null, 'one of one')
  t.equal(errors.length, 1, 'which is no error')
  t.strictSame((await usage()).map(({ owner, files }) => [owner, files]), [['ada', 1], ['eve', 3], ['max', 1]])

  t.match(await race(async () => await files.insertPending(group(3))), [{ outcome: 'inserted' }, { outcome: 'exceeded', limit: 'files' }, { outcome: 'inserted' }])
  t.strictSame((await usage()).map(({ owner, files }) => [owner, files]), [['ada', 2], ['eve', 4], ['max', 2]])
})

t.test('counters are locked in one order, whatever that of the uploads, so that two groups do not wait for each other in a circle', async t => {
  const { url, database, files } = await start(t)
  const group = () => ['max', 'eve', 'ada'].map(owner => upload({ owner }))
  await files.insertPending(group())
  const ada = await hold(t, url, 'ada')
  const inserting = insertAtOnce(database, group())
  await untilWaiting(url)
  for (const owner of ['eve', 'max']) await (await hold(t, url, owner)).end()
  await ada.end()
  t.match(await inserting, [{ outcome: 'inserted' }, { outcome: 'inserted' }, { outcome: 'inserted' }])
})

t.test('a key that is taken lets nothing happen; those that come together are one upload', async t => {
  const { database, usage, ids } = await start(t)
  const item = (key: string) => upload({ idempotency: { key, hash: 'h' } })
  const [first, second] = [item('a'), item('b')]
  t.match(await insertAtOnce(database, [first, item('a'), second]), [{ outcome: 'inserted' }, { outcome: 'duplicate' }, { outcome: 'inserted' }])
  t.equal(await insertAtOnce(database, [item('c'), item('b')]), null)
  t.match(await usage(), [{ files: 2, bytes: 20, pending: 2 }])
  t.strictSame(await ids(), idsOf([first, second]))
})

t.test('uploads of tickets are not for it', async t => {
  const { database, sent } = await start(t)
  t.equal(await insertAtOnce(database, [upload(), upload({}, {}, 'a ticket')]), null)
  t.strictSame(sent(), [])
})
