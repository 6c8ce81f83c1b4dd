import { CompiledQuery, Kysely, sql, type Dialect } from 'kysely'
import t, { type Test } from 'tap'
import { migrate } from '../../src/database/migrate.js'
import { postgresDialect } from '../../src/database/postgres.js'
import type { Database } from '../../src/database/schema.js'
import { sqliteDialect } from '../../src/database/sqlite.js'
import type { FileId } from '../../src/files/file.js'
import { NO_EVENTS } from '../../src/files/file-events.js'
import { createFilesRepository, type FilesRepository } from '../../src/files/files-repository.js'
import { createInventory } from '../../src/files/inventory.js'
import { newId } from '../../src/new-id.js'
import { newFile } from '../helpers/new-file.js'
import { testDatabaseUrl } from '../helpers/postgres.js'
import { ENGINES, type Engine } from '../helpers/service.js'

const now = new Date()
const scope = { tenant: '', owner: 'ada' }
const page = { ...scope, limit: 51, after: { createdAt: now, id: 'x' } }

/** What is asked again and again, whatever the number of rows. */
const operations: ReadonlyArray<[name: string, run: (files: FilesRepository, database: Kysely<Database>) => Promise<unknown>]> = [
  ['find', async files => await files.find('x', scope)],
  ['list', async files => await files.list({ ...page, status: 'ready' })],
  ['list of a policy', async files => await files.list({ ...page, status: 'ready', policy: 'pictures' })],
  ['list of uploads under way', async files => await files.list({ ...page, status: 'pending', policy: 'pictures' })],
  ['claimDue', async files => await files.claimDue(now, 100, now)],
  ['findByIdempotencyKeys', async files => await files.findByIdempotencyKeys('', 'ada', ['a', 'b'])],
  ['markVerifying', async files => await files.markVerifying('x', { token: 'y', until: now }, now)],
  ['markExpired', async files => await files.markExpired('x', scope, now)],
  ['markDeleted', async files => await files.markDeleted('x' as FileId, scope, now)],
  ['usageOf', async files => await files.usageOf('', 'ada')],
  ['rowsBetween', async (_, database) => await createInventory(database).rowsBetween('b', 'a', 'z')],
  ['rowOfKey', async (_, database) => await createInventory(database).rowOfKey('b', 'k')],
  ['rowOfKey with an id', async (_, database) => await createInventory(database).rowOfKey('b', `k/${newId()}`)]
]

for (const engine of ENGINES) {
  t.test(engine, async t => {
    const queries: CompiledQuery[] = []
    const database = new Kysely<Database>({ dialect: await dialectOf(t, engine), log: ({ query }) => { queries.push(query) } })
    t.teardown(async () => await database.destroy())
    await migrate(database)
    const files = createFilesRepository(database, NO_EVENTS)

    for (const [name, run] of operations) {
      t.test(`${name} reads through an index and sorts nothing, however many rows there are`, async t => {
        queries.length = 0
        await run(files, database)
        const asked = queries.filter(({ sql }) => /^(select|update|with)/.test(sql))
        t.ok(asked.length > 0)
        for (const query of asked) {
          const plan = await explain(database, engine, query)
          t.notMatch(plan, engine === 'sqlite' ? /SCAN (files|usage)\b|TEMP B-TREE/ : /Seq Scan|Sort/, `${query.sql}\n${plan}`)
        }
      })
    }

    t.test('a list of a policy reads no files of other policies', async t => {
      queries.length = 0
      await files.list({ ...page, status: 'ready', policy: 'pictures' })
      t.match(await explain(database, engine, queries[0] as CompiledQuery), /files_by_owner_and_policy/)
    })

    if (engine === 'postgres') {
      const kept: ReadonlyArray<[name: string, index: RegExp, run: () => Promise<unknown>]> = [
        ['find', /files_pkey/, async () => await files.find('x', scope)],
        ['find in a tenant', /files_pkey/, async () => await files.find('x', { tenant: '' })],
        ['list', /files_by_owner\b/, async () => await files.list({ ...page, status: 'ready' })],
        ['list of a policy', /files_by_owner_and_policy/, async () => await files.list({ ...page, status: 'ready', policy: 'pictures' })],
        ['findByMultipartUpload', /files_by_multipart_upload/, async () => await files.findByMultipartUpload(scope, 'pictures', 'an upload', 'k')],
        ['insertPending', /usage_primary/, async () => await files.insertPending([{ file: newFile(), quota: {} }])]
      ]
      for (const [name, index, run] of kept) {
        t.test(`the plan of ${name}, kept from when there were no rows, reads through an index and sorts no files`, async t => {
          queries.length = 0
          await run()
          const plan = await explainKept(database, queries[0] as CompiledQuery)
          t.match(plan, index)
          t.notMatch(plan, /Seq Scan on (files|usage)|Sort Key: files/, plan)
        })
      }
    }

    t.test('an upload is found by the id that S3 gave it, not among all files of its owner, also before the table was ever analysed', async t => {
      await sql`insert into files (id, tenant, owner, policy, status, version, filename, content_type, size_bytes, visibility, bucket, object_key, metadata, multipart_upload_id, url_deadline, attempts, created_at, updated_at)
        with recursive numbers (number) as (select 1 union all select number + 1 from numbers where number < 3000)
        select 'file ' || number, '', 'ada', 'pictures', 'pending', 1, 'a', 'b/c', 1, 'private', 'b', 'k' || number, '{}', 'upload ' || number, 0, 0, 0, 0 from numbers`.execute(database)
      queries.length = 0
      await files.findByMultipartUpload(scope, 'pictures', 'an upload', 'k')
      t.match(await explain(database, engine, queries[0] as CompiledQuery), /files_by_multipart_upload/)
    })
  })
}

async function dialectOf (t: Test, engine: Engine): Promise<Dialect> {
  return engine === 'sqlite' ? sqliteDialect(':memory:') : postgresDialect(await testDatabaseUrl(t), { onError: () => {}, isMigrating: false })
}

/** On PostgreSQL without the ways that suit small tables whatever their indexes: what has no index for it shows. */
async function explain (database: Kysely<Database>, engine: Engine, { sql: text, parameters }: CompiledQuery): Promise<string> {
  if (engine === 'sqlite') return (await database.executeQuery<{ detail: string }>(CompiledQuery.raw(`explain query plan ${text}`, [...parameters]))).rows.map(({ detail }) => detail).join('\n')
  return await database.transaction().execute(async transaction => {
    for (const way of ['seqscan', 'bitmapscan', 'sort']) await sql`set local ${sql.ref(`enable_${way}`)} = off`.execute(transaction)
    return linesOf((await transaction.executeQuery<PlanLine>(CompiledQuery.raw(`explain ${text}`, [...parameters]))).rows)
  })
}

/** As PostgreSQL chooses when it is for any values, and keeps. */
async function explainKept (database: Kysely<Database>, { sql: text }: CompiledQuery): Promise<string> {
  return linesOf((await database.executeQuery<PlanLine>(CompiledQuery.raw(`explain (generic_plan) ${text}`))).rows)
}

interface PlanLine { readonly 'QUERY PLAN': string }

const linesOf = (rows: readonly PlanLine[]): string => rows.map(row => row['QUERY PLAN']).join('\n')
