import { sql, type Kysely } from 'kysely'
import pg from 'pg'
import t, { type Test } from 'tap'
import { openDatabase } from '../../src/database/database.js'
import { migrate } from '../../src/database/migrate.js'
import type { Database } from '../../src/database/schema.js'
import { sweepUploads } from '../../src/jobs/sweep-uploads.js'
import type { Services } from '../../src/services.js'
import { startPostgres, testDatabaseUrl, untilWaiting } from '../helpers/postgres.js'
import { png } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { startService, type TestService } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { findViolations } from './fixtures/invariants.js'
import { startPostgresProxy } from './fixtures/postgres-proxy.js'

const s3 = await startTestS3(t)
const picture = png()
const body = { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length }

/** The service on this database, with what a test asks of it and a connection of its own past all faults. */
async function start (t: Test, url: string, directUrl = url) {
  let storeCalls = 0
  const service = await startService(t, s3, {
    engine: 'postgres',
    env: { DATABASE_URL: url },
    adapt: services => ({ ...services, objectStorage: countCalls(services, () => { storeCalls++ }) })
  })
  const direct = openDatabase(directUrl, { onError: () => {} })
  const admin = new pg.Client({ connectionString: directUrl })
  admin.on('error', () => {})
  await admin.connect()
  t.teardown(async () => {
    await admin.end().catch(() => {})
    await direct.destroy()
  })
  const ada = await service.token('ada')
  return {
    ...service,
    ada,
    admin,
    storeCalls: () => storeCalls,
    create: async (key?: string, token = ada) => await service.call('POST', '/uploads', { token, body, ...(key !== undefined && { headers: { 'idempotency-key': key } }) }),
    rows: async () => await direct.selectFrom('files').selectAll().execute(),
    usage: async () => await direct.selectFrom('usage').select(['files', 'pending']).execute(),
    violations: async () => await findViolations({ database: direct, client: s3.client, buckets: [service.bucket], isAtRest: false })
  }
}

function countCalls ({ objectStorage }: Services, count: () => void): Services['objectStorage'] {
  return new Proxy(objectStorage, {
    get (target, name, receiver) {
      if (!String(name).startsWith('presign')) count()
      return Reflect.get(target, name, receiver)
    }
  })
}

/** A 503 that says when to come back, and nothing of the database. */
function refusesForNow (t: Test, reply: Awaited<ReturnType<TestService['call']>>): void {
  t.match(reply.json(), { status: 503, code: 'NOT_READY' })
  t.match(reply.headers['retry-after'], /^\d+$/)
  t.notMatch(reply.body, /postgres|sql|relation|ECONN/i)
}

t.test('F26: PostgreSQL down at create is a 503 within two seconds and a half, without a call to the store; the next call after its return works', async t => {
  const server = await startPostgres({ isDurable: true })
  t.teardown(async () => { await server.stop() })
  const { create, call, storeCalls, ada } = await start(t, server.url)
  t.equal((await create()).statusCode, 201)
  await server.crash()
  const began = process.hrtime.bigint()
  refusesForNow(t, await create())
  t.ok(process.hrtime.bigint() - began < 2_500_000_000n)
  t.equal(storeCalls(), 0)
  t.equal((await call('GET', '/livez')).statusCode, 200)
  t.equal((await call('GET', '/readyz')).json().code, 'NOT_READY')
  await server.restart()
  t.equal((await create()).statusCode, 201)
  t.equal((await call('GET', '/readyz')).statusCode, 200)
  t.equal((await call('GET', '/files?status=pending', { token: ada })).json().data.length, 2, 'and what was answered is still there')
})

t.test('F26: a PostgreSQL that falls silent and breaks no connection is a 503, and new connections are made', async t => {
  const direct = await testDatabaseUrl(t)
  const proxy = await startPostgresProxy(t, direct)
  const { create, call, ada, admin, rows, violations } = await start(t, proxy.url, direct)
  t.equal((await create()).statusCode, 201)
  // Neither a connection that nobody uses nor a migration that waits for a lock is given up in the meantime.
  const broken: Error[] = []
  const [idle, migrating] = [false, true].map(isMigrating => openDatabase(direct, { isMigrating, onError: error => { broken.push(error) } })) as [Kysely<Database>, Kysely<Database>]
  t.teardown(async () => { await Promise.all([idle.destroy(), migrating.destroy()]) })
  await sql`select 1`.execute(idle)
  await admin.query('select pg_advisory_lock(1)')
  const patient = sql`select pg_advisory_lock(1)`.execute(migrating)
  await untilWaiting(direct)
  proxy.rule = () => ({ kind: 'wait', until: new Promise(() => {}) })
  const replies = Promise.all([create(), ...Array.from({ length: 12 }, async () => await call('GET', '/files', { token: ada }))])
  t.equal((await call('GET', '/livez')).statusCode, 200)
  for (const reply of await replies) refusesForNow(t, reply)
  t.strictSame(broken, [])
  await admin.query('select pg_advisory_unlock(1)')
  await patient
  proxy.rule = () => undefined
  t.equal((await create()).statusCode, 201)
  t.equal((await rows()).length, 2)
  t.strictSame(await violations(), [])
})

t.test('F27: a backend killed inside a transaction rolls it back, and the pool heals', async t => {
  const direct = await testDatabaseUrl(t)
  const proxy = await startPostgresProxy(t, direct)
  const { create, call, ada, admin, rows, violations } = await start(t, proxy.url, direct)
  const { file } = (await create()).json()
  let kill = true
  proxy.rule = message => {
    if (!kill || !/\bcommit\b/.test(message)) return undefined
    kill = false
    return { kind: 'wait', until: admin.query("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and state = 'idle in transaction'") }
  }
  refusesForNow(t, await call('DELETE', `/uploads/${file.id}`, { token: ada }))
  t.equal(kill, false, 'it was killed before its commit')
  t.match(await rows(), [{ status: 'pending' }], 'nothing of it is there')
  t.equal((await call('DELETE', `/uploads/${file.id}`, { token: ada })).statusCode, 204)
  t.strictSame(await violations(), [])
})

t.test('F27: a backend killed while it creates leaves nothing of it, and the pool heals', async t => {
  const url = await testDatabaseUrl(t)
  const { create, admin, rows, usage, violations } = await start(t, url)
  t.equal((await create()).statusCode, 201)
  await admin.query('begin')
  await admin.query('select from usage for update')
  const creating = create()
  await untilWaiting(url)
  await admin.query("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
  refusesForNow(t, await creating)
  await admin.query('rollback')
  t.equal((await rows()).length, 1)
  t.strictSame(await usage(), [{ files: 1, pending: 1 }])
  t.equal((await create()).statusCode, 201)
  t.strictSame(await violations(), [])
})

t.test('F28: a create whose answer is lost: the retry with the same key finds what it made, and it is charged once', async t => {
  const direct = await testDatabaseUrl(t)
  const proxy = await startPostgresProxy(t, direct)
  const { create, rows, usage, violations } = await start(t, proxy.url, direct)
  let isCut = false
  proxy.rule = message => {
    if (isCut || !/insert into files/.test(message)) return undefined
    isCut = true
    return { kind: 'lose the answer' }
  }
  refusesForNow(t, await create('one'))
  const retry = await create('one')
  t.equal(retry.statusCode, 201, retry.body)
  t.equal(retry.headers['idempotency-replayed'], 'true')
  t.equal((await rows()).length, 1)
  t.match(await usage(), [{ files: 1, pending: 1 }])
  t.strictSame(await violations(), [])
})

t.test('F28: a create that never reached the server: the retry makes it', async t => {
  const direct = await testDatabaseUrl(t)
  const proxy = await startPostgresProxy(t, direct)
  const { create, rows, violations } = await start(t, proxy.url, direct)
  let isCut = false
  proxy.rule = message => {
    if (isCut || !/insert into files/.test(message)) return undefined
    isCut = true
    return { kind: 'cut' }
  }
  refusesForNow(t, await create('one'))
  t.equal((await rows()).length, 0)
  const retry = await create('one')
  t.equal(retry.statusCode, 201)
  t.equal(retry.headers['idempotency-replayed'], undefined)
  t.strictSame(await violations(), [])
})

t.test('F28: a complete whose COMMIT is not answered asks the row, and the file is ready, once', async t => {
  const direct = await testDatabaseUrl(t)
  const proxy = await startPostgresProxy(t, direct)
  const { create, call, ada, rows, violations } = await start(t, proxy.url, direct)
  const { file, upload } = (await create()).json()
  await send(upload, picture)
  let isCut = false
  proxy.rule = message => {
    if (isCut || !/\bcommit\b/.test(message)) return undefined
    isCut = true
    return { kind: 'lose the answer' }
  }
  const reply = await call('POST', `/uploads/${file.id}/complete`, { token: ada })
  t.equal(reply.json().file.status, 'ready', reply.body)
  t.equal(isCut, true)
  t.strictSame((await call('POST', `/uploads/${file.id}/complete`, { token: ada })).json(), reply.json())
  t.strictSame((await rows()).map(({ status, version }) => ({ status, version })), [{ status: 'ready', version: 3 }])
  t.strictSame(await violations(), [])
})

t.test('F29: an exhausted pool is a 503 and no hang, the process answers, and it recovers', async t => {
  const { create, call, ada, admin, violations } = await start(t, await testDatabaseUrl(t))
  t.equal((await create()).statusCode, 201)
  await admin.query('begin')
  await admin.query('lock table files in access exclusive mode')
  // Each takes a connection by itself: group commit shares one only among calls of one turn.
  const replies = await Promise.all(Array.from({ length: 12 }, async () => await call('GET', '/files', { token: ada })))
  for (const reply of replies) refusesForNow(t, reply)
  t.equal((await call('GET', '/livez')).statusCode, 200)
  await admin.query('rollback')
  t.equal((await create()).statusCode, 201)
  t.strictSame(await violations(), [])
})

t.test('F29: sweeping that waits for locks leaves connections for requests', async t => {
  const { create, admin, services, violations } = await start(t, await testDatabaseUrl(t))
  for (let index = 0; index < 20; index++) await create()
  await admin.query('update files set next_check_at = 0')
  await admin.query('begin')
  await admin.query('select id from files for share')
  const sweeping = sweepUploads(services)
  t.equal((await services.files.usageOf('', 'eve')).size, 0)
  t.equal((await sweeping).swept, 0, 'locked rows are passed over')
  await admin.query('rollback')
  t.match(await sweepUploads(services), { swept: 20 })
  t.strictSame(await violations(), [])
})

t.test('F30: a database that became read-only is a 503, and reads go on', async t => {
  const { create, call, ada, admin } = await start(t, await testDatabaseUrl(t))
  const { file } = (await create()).json()
  const name = (await admin.query('select current_database() as name')).rows[0].name as string
  const read = async (): ReturnType<TestService['call']> => await call('GET', `/files/${file.id}`, { token: ada })
  // Each is waited for: one that still answers, or whose end comes during a request, would be taken for what is tested here.
  const reconnect = 'select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()'
  await admin.query(`alter database ${name} set default_transaction_read_only = on`)
  await admin.query(reconnect)
  t.equal((await settleAfterReconnect(read, 200)).statusCode, 200)
  refusesForNow(t, await create())
  t.equal((await read()).statusCode, 200)
  await admin.query('set default_transaction_read_only = off')
  await admin.query(`alter database ${name} reset default_transaction_read_only`)
  await admin.query(reconnect)
  const reply = await settleAfterReconnect(create, 201)
  t.equal(reply.statusCode, 201)
})

/** Connections that were ended are noticed one by one: those replies are 503, too. */
async function settleAfterReconnect (request: () => ReturnType<TestService['call']>, wanted: number): ReturnType<TestService['call']> {
  for (let attempt = 0; ; attempt++) {
    const reply = await request()
    if (reply.statusCode === wanted || attempt === 12) return reply
  }
}

/** Whoever looks first is the one whose transaction is taken back: a connection looks once, so long after it began to wait. */
async function setDeadlockTimeout (url: string, timeout: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(`alter database ${new URL(url).pathname.slice(1)} set deadlock_timeout = '${timeout}'`)
  await client.end()
}

t.test('F30: a transaction that PostgreSQL took back for a deadlock is run again', async t => {
  const url = await testDatabaseUrl(t)
  await setDeadlockTimeout(url, '3s')
  const { create, call, ada, admin, violations } = await start(t, url)
  await admin.query("set deadlock_timeout = '10s'")
  const first = (await create()).json().file.id
  // The other one holds the usage row and wants the file; aborting changes the file and wants the usage row.
  await admin.query('begin')
  await admin.query("update usage set files = files where owner = 'ada'")
  const aborting = call('DELETE', `/uploads/${first}`, { token: ada })
  await untilWaiting(url)
  await admin.query('update files set filename = filename where id = $1', [first])
  await admin.query('commit')
  t.equal((await aborting).statusCode, 204)
  t.equal((await call('GET', `/files/${first}`, { token: ada })).json().file.status, 'expired')
  t.strictSame(await violations(), [])
})

t.test('F31: three processes that migrate an empty database at once apply each migration once', async t => {
  const url = await testDatabaseUrl(t)
  const databases = [1, 2, 3].map(() => openDatabase(url, { onError: () => {}, isMigrating: true }))
  t.teardown(async () => { await Promise.all(databases.map(async database => await database.destroy())) })
  const applied = (await Promise.all(databases.map(migrate))).flat()
  t.ok(applied.length > 0)
  t.equal(new Set(applied).size, applied.length)
})

t.test('F31: a migration may take as long as it takes, a request may not', async t => {
  const url = await testDatabaseUrl(t)
  const admin = new pg.Client({ connectionString: url })
  await admin.connect()
  t.teardown(async () => { await admin.end() })
  await admin.query(`
    create table seen (command text, statement_timeout text);
    create function see() returns event_trigger language plpgsql as $$
      begin insert into seen values (tg_tag, current_setting('statement_timeout')); end $$;
    create event trigger watch on ddl_command_start execute function see()`)
  const { services } = await start(t, url)
  const { rows } = await admin.query<{ command: string, statement_timeout: string }>('select * from seen')
  t.ok(rows.some(({ command }) => command === 'CREATE INDEX'))
  t.strictSame(new Set(rows.map(row => row.statement_timeout)), new Set(['0']))
  const { rows: [setting] } = await sql<{ statement_timeout: string }>`show statement_timeout`.execute(services.database)
  t.equal(setting?.statement_timeout, '5s')
})
