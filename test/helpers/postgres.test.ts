import t from 'tap'
import pg from 'pg'
import { testDatabaseUrl } from './postgres.js'

t.test('two databases of one server are empty and do not see each other', async t => {
  const urls = [await testDatabaseUrl(t), await testDatabaseUrl(t)]
  t.not(urls[0], urls[1])
  for (const url of urls) {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await client.query('create table thing (id int primary key)')
    const { rows } = await client.query('select count(*)::int as count from thing')
    t.same(rows, [{ count: 0 }])
    await client.end()
  }
})

t.test('a database is gone after its test, even with a connection left open', async t => {
  let url = ''
  let client: pg.Client | undefined
  await t.test('inner', async t => {
    url = await testDatabaseUrl(t)
    client = new pg.Client({ connectionString: url })
    client.on('error', () => {})
    await client.connect()
    t.ok(url)
  })
  await t.rejects(new pg.Client({ connectionString: url }).connect())
})
