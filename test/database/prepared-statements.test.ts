import { CompiledQuery, type Kysely } from 'kysely'
import t, { type Test } from 'tap'
import { openDatabase } from '../../src/database/database.js'
import { migrate } from '../../src/database/migrate.js'
import type { Database } from '../../src/database/schema.js'
import { createFilesRepository } from '../../src/files/files-repository.js'
import { newFile } from '../helpers/new-file.js'
import { testDatabaseUrl } from '../helpers/postgres.js'

/** One query after the other, so that all go by one connection. */
function open (t: Test, url: string) {
  const told: string[] = []
  const database = openDatabase(url, { onError: (_error, meaning) => { told.push(meaning) } })
  t.teardown(async () => { await database.destroy() })
  const files = createFilesRepository(database)
  const absent = newFile()
  return {
    database,
    told,
    /** What nearly all requests do: a row is made, and found again. */
    async work () {
      const file = newFile()
      const [inserted] = await files.insertPending([{ file, quota: {} }])
      t.equal(inserted?.outcome, 'inserted')
      t.match(await files.find(file.id, file), { id: file.id, filename: file.filename })
    },
    find: async () => await files.find(absent.id, absent),
    kept: async () => await keptBy(database)
  }
}

async function run<Row> (database: Kysely<Database>, sql: string): Promise<readonly Row[]> {
  return (await database.executeQuery<Row>(CompiledQuery.raw(sql))).rows
}

interface Kept { readonly name: string, readonly statement: string, readonly plans: number }

async function keptBy (database: Kysely<Database>): Promise<readonly Kept[]> {
  return await run<Kept>(database, "select name, statement, generic_plans + custom_plans as plans from pg_prepared_statements where name <> '' order by statement")
}

async function start (t: Test) {
  const url = await testDatabaseUrl(t)
  const opened = open(t, url)
  await migrate(opened.database)
  return { url, ...opened }
}

t.test('PostgreSQL keeps the statements of nearly all requests', async t => {
  const { work, kept } = await start(t)
  for (let time = 0; time < 3; time++) await work()
  t.match(await kept(), [{ statement: /^select to_json/, plans: 3 }, { statement: /^with asked/, plans: 3 }])
})

t.test('behind a pooler that forgets them nothing fails, and none is kept any more', async t => {
  const { database, work, kept } = await start(t)
  await work()
  await run(database, 'deallocate all')
  await work()
  t.strictSame(await kept(), [])
  // The other connection is taken, so this is a new one.
  await database.transaction().execute(async () => {
    await work()
    t.strictSame(await kept(), [])
  })
  t.equal((await run(database, 'select from files')).length, 3)
})

t.test('of which a warning tells once, however many connections it happens on', async t => {
  const { database, told, find } = await start(t)
  const atOnce = async (act: () => Promise<unknown>): Promise<unknown> => await Promise.all(Array.from({ length: 3 }, act))
  await atOnce(find)
  t.strictSame(told, [])
  await atOnce(async () => await run(database, 'deallocate all'))
  await atOnce(find)
  t.strictSame(told, ['a pooler mislays prepared statements: PostgreSQL is sent each anew from now on, which takes it longer'])
})

t.test('nor behind one that has sent them for someone else', async t => {
  const { url, work, kept } = await start(t)
  await work()
  const other = open(t, url)
  for (const { name, statement } of await kept()) await run(other.database, `prepare ${name} as ${statement}`)
  await other.work()
  t.equal((await run(other.database, 'select from files')).length, 2)
})

t.test('a column that a migration adds changes nothing for a process that runs', async t => {
  const { database, work, kept } = await start(t)
  await work()
  await run(database, 'alter table files add column added text')
  await work()
  t.equal((await kept()).length, 2)
})

t.test('what fails for another reason fails once', async t => {
  const { database, work, kept } = await start(t)
  await work()
  await run(database, 'alter table files rename to moved')
  await t.rejects(work(), { code: '42P01' })
  await run(database, 'alter table moved rename to files')
  await work()
  t.match(await kept(), [{ statement: /^select to_json/, plans: 2 }, { statement: /^with asked/, plans: 2 }])
})
