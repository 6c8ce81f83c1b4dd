import { setImmediate as nextTurn } from 'node:timers/promises'
import { randomUUID } from 'node:crypto'
import { sql, type Kysely } from 'kysely'
import t, { type Test } from 'tap'
import { explainStartError } from '../../src/cli/explain-start-error.js'
import { openDatabase, sharedSecret } from '../../src/database/database.js'
import { isMigrated, migrate, migrateAt } from '../../src/database/migrate.js'
import type { Database } from '../../src/database/schema.js'
import type { FileId, PendingFile, VerifyingFile } from '../../src/files/file.js'
import { ApiError } from '../../src/errors.js'
import { newRow, type NewFile } from '../../src/files/file-row.js'
import { groupInserts } from '../../src/files/group-inserts.js'
import { createFilesRepository } from '../../src/files/files-repository.js'
import type { ObjectKey } from '../../src/policies/object-key.js'
import { later, newFile, NOW } from '../helpers/new-file.js'
import { ENGINES, testEnvironment, type Engine } from '../helpers/service.js'

const ADA = { tenant: '', owner: 'ada' }

t.test('inserts of one moment share a transaction', async t => {
  const groups: number[][] = []
  const insert = groupInserts(async (items: readonly number[]) => {
    groups.push([...items])
    if (items.includes(13)) throw new Error('bad row')
    if (items.includes(503)) throw new ApiError('NOT_READY', 'the database is out')
    return items.map(item => item * 10)
  })

  t.test('each call gets its own results, in its order', async t => {
    groups.length = 0
    t.strictSame(await Promise.all([insert([1, 2]), insert([3]), insert([4, 5, 6])]), [[10, 20], [30], [40, 50, 60]])
    t.strictSame(groups, [[1, 2, 3, 4, 5, 6]])
  })

  t.test('calls of different moments do not wait for each other', async t => {
    groups.length = 0
    await insert([1])
    await insert([2])
    t.strictSame(groups, [[1], [2]])
  })

  t.test('a bad row fails alone', async t => {
    groups.length = 0
    const results = await Promise.allSettled([insert([1]), insert([13]), insert([2])])
    t.strictSame(results.map(result => result.status), ['fulfilled', 'rejected', 'fulfilled'])
    t.strictSame(groups, [[1, 13, 2], [1], [13], [2]])
  })

  t.test('an outage fails all at once, without asking again for each', async t => {
    groups.length = 0
    const results = await Promise.allSettled([insert([1]), insert([503]), insert([2])])
    t.strictSame(results.map(result => result.status), ['rejected', 'rejected', 'rejected'])
    t.equal(groups.length, 1)
  })

  t.test('a transaction takes a hundred rows, and a call is never split', async t => {
    groups.length = 0
    const calls = [60, 60, 100, 1, 1].map(length => insert(Array.from({ length }, () => 1)))
    t.strictSame((await Promise.all(calls)).map(results => results.length), [60, 60, 100, 1, 1])
    t.strictSame(groups.map(group => group.length), [60, 60, 100, 2])
  })

  t.test('a group grows while each turn of the event loop brings more', async t => {
    groups.length = 0
    const calls = [insert([1]), insert([2])]
    // Each is asked for in a turn of its own.
    const next = async (item: number): Promise<void> => {
      calls.push(insert([item]))
      if (item < 5) await nextTurn().then(async () => await next(item + 1))
    }
    await nextTurn()
    await next(3)
    await Promise.all(calls)
    t.strictSame(groups, [[1, 2, 3, 4, 5]])
  })
})

/** Inserts whose transactions end when they are told to. */
function heldInserts (maxWaitMs: number) {
  const started: number[][] = []
  const ends: Array<() => void> = []
  const insert = groupInserts(async (items: readonly number[]) => {
    started.push([...items])
    await new Promise<void>(resolve => ends.push(resolve))
    return [...items]
  }, { maxWaitMs })
  const insertOneByOne = async (items: readonly number[]): Promise<Array<Promise<number[]>>> => {
    const calls: Array<Promise<number[]>> = []
    for (const item of items) {
      calls.push(insert([item]))
      await nextTurn()
      await nextTurn()
    }
    return calls
  }
  return { started, ends, insertOneByOne }
}

t.test('two transactions are under way at a time, and what comes meanwhile shares the next one', async t => {
  const { started, ends, insertOneByOne } = heldInserts(60_000)
  const calls = await insertOneByOne([1, 2, 3, 4, 5])
  t.strictSame(started, [[1], [2]])
  ends[0]?.()
  t.strictSame(await calls[0], [1])
  t.strictSame(started, [[1], [2], [3, 4, 5]])
})

t.test('F26: when none of them comes back, the others are told soon, and nobody waits for ever', async t => {
  const { started, ends, insertOneByOne } = heldInserts(50)
  const [first, second, late] = await insertOneByOne([1, 2, 3])
  await t.rejects(late!, { code: 'NOT_READY', retryAfterSeconds: 2 })
  t.strictSame(started, [[1], [2]], 'it was never sent')
  for (const end of ends) end()
  t.strictSame([await first, await second], [[1], [2]], 'those that were sent have their answers')
  const [again] = await insertOneByOne([4])
  ends[2]?.()
  t.strictSame(await again, [4], 'and it goes on')
})

t.test('SQLite: a column that another process has added is read by its own name', async t => {
  const url = (await testEnvironment(t, { engine: 'sqlite' }))['DATABASE_URL'] as string
  const [ours, theirs] = [openDatabase(url, { onError: () => {} }), openDatabase(url, { onError: () => {} })]
  t.teardown(async () => await Promise.all([ours, theirs].map(async database => await database.destroy())))
  await sql`create table things (id text)`.execute(theirs)
  await sql`insert into things values ('a')`.execute(theirs)
  const read = async () => (await sql`select * from things`.execute(ours)).rows
  t.strictSame(await read(), [{ id: 'a' }])
  await sql`alter table things add column colour text default 'red'`.execute(theirs)
  t.strictSame(await read(), [{ id: 'a', colour: 'red' }])
})

const record = async (database: Kysely<Database>, name: string) => await sql`insert into kysely_migration (name, timestamp) values (${name}, '2099-01-01T00:00:00.000Z')`.execute(database)
const forget = async (database: Kysely<Database>, ...names: string[]) => await sql`delete from kysely_migration where name in (${sql.join(names)})`.execute(database)

for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  const url = (await testEnvironment(t, { engine }))['DATABASE_URL'] as string
  const open = () => openDatabase(url, { onError: () => {}, isMigrating: true })
  const database = openDatabase(url, { onError: () => {} })
  t.teardown(async () => await database.destroy())

  // SQLite belongs to one process; only PostgreSQL has others that migrate at the same time.
  await t.test('F31: migrations are applied once, whoever asks', async t => {
    t.equal(await isMigrated(database), false)
    const others = engine === 'postgres' ? [open(), open(), open()] : [database]
    const applied = (await Promise.all(others.map(migrate))).flat()
    t.equal(applied.length, new Set(applied).size)
    t.ok(applied.length > 0)
    t.equal(await isMigrated(database), true)
    if (engine === 'postgres') await Promise.all(others.map(async other => await other.destroy()))
    t.strictSame(await migrate(database), [])
  })

  await t.test('one can go back a version: migrations that only a later one knows are left, and do not keep it from starting', async t => {
    await record(database, '9999-later')
    t.teardown(async () => await forget(database, '9999-later'))
    t.equal(await isMigrated(database), true)
    t.strictSame(await migrate(database), [])
    t.strictSame(await migrateAt(url, database), [])
  })

  await t.test('what no version has left behind is refused, with what is unknown and what is missing', async t => {
    const other = openDatabase((await testEnvironment(t, { engine }))['DATABASE_URL'] as string, { onError: () => {} })
    t.teardown(async () => await other.destroy())
    const all = await migrate(other)
    await forget(other, ...all.slice(-2))
    await record(other, '9999-later')
    t.equal(await isMigrated(other), false)
    try {
      await migrate(other)
      t.fail('it was migrated')
    } catch (error) {
      t.strictSame(explainStartError(error), [`The database of DATABASE_URL could not be migrated: it has 9999-later, which this version does not know, and lacks ${all.slice(-2).join(', ')}: start the version that has made it, or give this one a database of its own`])
    }
  })

  t.test('a shared secret is made once and stays', async t => {
    const secrets = await Promise.all([1, 2, 3].map(async () => (await sharedSecret(database, 'test')).toString('hex')))
    t.equal(new Set(secrets).size, 1)
    t.match(secrets[0], /^[0-9a-f]{64}$/)
    t.not((await sharedSecret(database, 'other')).toString('hex'), secrets[0])
  })

  const files = createFilesRepository(database)
  async function insert (change: Partial<NewFile> = {}): Promise<PendingFile> {
    const [inserted] = await files.insertPending([{ file: newFile(change), quota: {} }])
    if (inserted?.outcome !== 'inserted') throw new Error(`not inserted: ${inserted?.outcome}`)
    return inserted.file
  }
  async function verifying (change: Partial<NewFile> = {}): Promise<VerifyingFile> {
    const { id } = await insert(change)
    return await files.markVerifying(id, lease(), NOW) as VerifyingFile
  }
  const finding = (etag = 'e', sizeBytes = 10) => ({ etag, sizeBytes })
  const lease = () => ({ token: randomUUID(), until: later(60) })
  async function ready (change: Partial<NewFile> = {}) {
    const file = await verifying(change)
    return await files.markReady(file, finding(`"${file.id}"`, file.sizeBytes ?? 10), NOW)
  }

  t.test('a row comes back as it went in', async t => {
    const file = await insert({ metadata: { 'a.b': 'ü😀' }, sizeBytes: 5 * 1024 ** 4, owner: 'max', checksum: { algorithm: 'SHA256', value: 'x' } })
    t.match(await files.find(file.id, { tenant: '', owner: 'max' }), { status: 'pending', metadata: { 'a.b': 'ü😀' }, sizeBytes: 5 * 1024 ** 4, checksum: { algorithm: 'SHA256', value: 'x' }, createdAt: NOW, urlDeadline: later(900), version: 1 })
  })

  t.test('every column of a new row gets there, whatever the row has', async t => {
    const everything = { stagingKey: 'staging/x' as ObjectKey, replaces: randomUUID() as FileId, partSizeBytes: 5 * 1024 ** 2, sizeBytes: 5 * 1024 ** 4, metadata: { quote: '"\\\'' }, filename: 'ü😀".png' }
    for (const algorithm of ['SHA256', 'CRC32', 'CRC32C'] as const) {
      const file = newFile({ ...everything, owner: 'max', checksum: { algorithm, value: 'sum' }, idempotency: { key: `key ${algorithm}`, hash: 'hash' } })
      t.equal((await files.insertPending([{ file, quota: {} }]))[0]?.outcome, 'inserted')
      const nothing = { etag: null, replaced_into: null, rejected_reason: null, lease_token: null, lease_until: null, purged_at: null, ready_at: null }
      t.strictSame({ ...await database.selectFrom('files').selectAll().where('id', '=', file.id).executeTakeFirstOrThrow() }, { ...newRow(file), ...nothing }, algorithm)
    }
  })

  t.test('T8: a row is found by its owner and within its tenant alone', async t => {
    const file = await insert({ tenant: 'red' })
    t.ok(await files.find(file.id, { tenant: 'red', owner: 'ada' }))
    t.ok(await files.find(file.id, { tenant: 'red' }))
    for (const scope of [{ tenant: 'red', owner: 'eve' }, { tenant: 'blue', owner: 'ada' }, { tenant: 'blue' }, { tenant: '' }]) {
      t.equal(await files.find(file.id, scope), null)
      t.equal(await files.markExpired(file.id, scope, NOW), null)
      t.equal(await files.updateDetails(file.id, scope, { filename: 'x' }, NOW), null)
      t.equal(await files.markDeleted(file.id, scope, NOW), null)
    }
    t.match(await files.find(file.id, { tenant: 'red' }), { status: 'pending', filename: 'a.png' })
  })

  t.test('F9: of twenty callers one gets the lease', async t => {
    const file = await insert()
    const held = await Promise.all(Array.from({ length: 20 }, async () => await files.markVerifying(file.id, lease(), NOW)))
    t.equal(held.filter(result => result !== null).length, 1)
  })

  t.test('a lease can be taken over once it has run out, and then its old token is worth nothing', async t => {
    const file = await insert()
    const old = await files.markVerifying(file.id, lease(), NOW) as VerifyingFile
    t.equal(await files.markVerifying(file.id, lease(), later(60)), null, 'not in its last moment')
    const fresh = { token: randomUUID(), until: later(200) }
    const held = await files.markVerifying(file.id, fresh, later(61)) as VerifyingFile
    t.match(held, { status: 'verifying', leaseToken: fresh.token })
    t.equal(await files.markReady(old, finding(), NOW), null)
    t.equal(await files.markRejected(old, 'no', NOW), null)
    t.equal(await files.renewLease(file.id, old.leaseToken, later(999), NOW), false)
    t.equal(await files.releaseToPending(file.id, old.leaseToken, NOW, NOW), null)
    t.equal(await files.renewLease(file.id, held.leaseToken, later(300), NOW), true)
    t.match(await files.markReady(held, finding(), NOW), { status: 'ready', etag: 'e' })
  })

  t.test('F10 F11: ready and expired race a hundred times, and each time exactly one wins', async t => {
    for (let round = 0; round < 100; round++) {
      const file = await verifying()
      const racers = [async () => await files.markReady(file, finding(), NOW), async () => await files.markExpired(file.id, ADA, NOW)]
      if (round % 2 === 0) racers.reverse()
      const winners = (await Promise.all(racers.map(async race => await race()))).filter(result => result !== null)
      if (winners.length !== 1) t.fail(`round ${round}: ${winners.length} winners`)
      t.match(await files.find(file.id, ADA), { status: winners[0]?.status })
    }
  })

  t.test('I4: what has ended stays ended', async t => {
    const expired = await insert()
    await files.markExpired(expired.id, ADA, NOW)
    const deleted = await ready()
    await files.markDeleted(deleted!.id, ADA, NOW)
    for (const { id } of [expired, deleted!]) {
      t.equal(await files.markVerifying(id, lease(), later(9999)), null)
      t.equal(await files.raiseUrlDeadline(id, later(9999), NOW), null)
      t.equal(await files.updateDetails(id, ADA, { filename: 'x' }, NOW), null)
    }
    t.equal(await files.markExpired(deleted!.id, ADA, NOW), null)
  })

  t.test('the deadline of URLs is raised and never lowered', async t => {
    const file = await insert()
    t.match(await files.raiseUrlDeadline(file.id, later(1000), NOW), { urlDeadline: later(1000) })
    t.match(await files.raiseUrlDeadline(file.id, later(500), NOW), { urlDeadline: later(1000) })
  })

  t.test('F42: a replacement swaps the content in one step: the file keeps its id, the upload becomes the tombstone', async t => {
    const old = await ready({ metadata: { kept: 'yes' } })
    const upload = await verifying({ replaces: old!.id, filename: 'new.jpg', contentType: 'image/jpeg', sizeBytes: 20 })
    const swapped = await files.markReadyReplacing(upload, old!.id, finding('"new"', 20), NOW)
    t.match(swapped?.ready, { id: old!.id, status: 'ready', key: upload.key, etag: '"new"', filename: 'new.jpg', contentType: 'image/jpeg', sizeBytes: 20, metadata: { kept: 'yes' } })
    t.match(swapped?.old, { id: upload.id, status: 'deleted', key: old!.key, replacedInto: old!.id, urlDeadline: old!.urlDeadline })
    t.equal(await files.markReadyReplacing(upload, old!.id, finding(), NOW), null, 'once')
  })

  t.test('two replacements at once leave one content and two tombstones', async t => {
    const old = await ready()
    const uploads = await Promise.all([1, 2].map(async () => await verifying({ replaces: old!.id })))
    const results = await Promise.all(uploads.map(async upload => await files.markReadyReplacing(upload, old!.id, finding(upload.id), NOW)))
    const gone = results.map(result => result?.old?.key)
    const final = await files.find(old!.id, ADA)
    const all = [old!.key, ...uploads.map(upload => upload.key)]
    t.same([...gone, final?.key].sort(), all.sort(), 'every key is named by exactly one row')
    t.equal(final?.status, 'ready')
  })

  t.test('a replacement of a file that is gone meanwhile becomes a file of its own', async t => {
    const old = await ready()
    const upload = await verifying({ replaces: old!.id })
    await files.markDeleted(old!.id, ADA, NOW)
    t.match(await files.markReadyReplacing(upload, old!.id, finding(), NOW), { ready: { id: upload.id, status: 'ready' }, old: null })
  })

  t.test('of requests with one idempotency key that come together only the first counts against the quota', async t => {
    const owner = randomUUID()
    const item = (key: string) => ({ file: newFile({ owner, idempotency: { key, hash: 'h' } }), quota: { files: 2 } })
    const outcomes = await Promise.all(['a', 'a', 'b'].map(async key => (await files.insertPending([item(key)]))[0]?.outcome))
    t.same(outcomes.sort(), ['duplicate', 'inserted', 'inserted'])
    t.match((await files.usageOf('', owner)).get('pictures'), { files: 2, pending: 2 })
  })

  t.test('a key that an earlier request has taken is a duplicate, which makes no row and gives back what it reserved', async t => {
    const owner = randomUUID()
    const item = (key: string) => ({ file: newFile({ owner, idempotency: { key, hash: 'h' } }), quota: {} })
    t.match(await files.insertPending([item('a')]), [{ outcome: 'inserted' }])
    const [again, other] = [item('a'), item('b')]
    t.match(await files.insertPending([again, other]), [{ outcome: 'duplicate' }, { outcome: 'inserted', file: { id: other.file.id } }])
    t.equal(await files.find(again.file.id, { tenant: '', owner }), null)
    t.match((await files.usageOf('', owner)).get('pictures'), { files: 2, pending: 2 })
  })

  t.test('what one owner holds is counted exactly, up to four petabytes', async t => {
    const owner = randomUUID()
    const item = () => ({ file: newFile({ owner, sizeBytes: 2 ** 51 }), quota: {} })
    const outcomes = await files.insertPending([item(), item(), item()])
    t.same(outcomes.map(({ outcome }) => outcome), ['inserted', 'inserted', 'exceeded'])
    t.match((await files.usageOf('', owner)).get('pictures'), { files: 2, bytes: 2 ** 52, pending: 2 })
  })

  t.test('lists by keyset, newest first, without gaps or repeats, also among rows of one moment', async t => {
    const owner = randomUUID()
    const ids = []
    for (let index = 0; index < 25; index++) ids.push((await ready({ owner, createdAt: later(Math.floor(index / 5)) }))!.id)
    await ready({ owner: `${owner}2` })
    const seen: string[] = []
    let after
    for (;;) {
      const page = await files.list({ tenant: '', owner, status: 'ready', limit: 7, ...(after && { after }) })
      seen.push(...page.map(file => file.id))
      after = page.at(-1)
      if (page.length < 7) break
    }
    t.same([...seen].sort(), [...ids].sort())
    t.equal(seen.length, 25)
    t.strictSame((await files.list({ tenant: '', owner, status: 'ready', policy: 'none', limit: 7 })), [])
  })
}
