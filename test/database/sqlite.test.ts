import { CompiledQuery, type Kysely } from 'kysely'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { openDatabase } from '../../src/database/database.js'
import { migrate } from '../../src/database/migrate.js'
import type { Database } from '../../src/database/schema.js'

async function open (t: Test): Promise<Kysely<Database>> {
  const database = openDatabase('sqlite::memory:', { onError: () => {} })
  t.teardown(async () => await database.destroy())
  await migrate(database)
  return database
}

const insert = async (database: Kysely<Database>, name: string): Promise<void> => { await database.insertInto('secrets').values({ name, value: '' }).execute() }
const names = async (database: Kysely<Database>): Promise<string[]> => (await database.selectFrom('secrets').select('name').orderBy('name').execute()).map(({ name }) => name)

t.test('a query outside of a transaction waits for its end, and sees nothing of what is taken back', async t => {
  const database = await open(t)
  const { promise: isAsked, resolve: ask } = withResolvers()
  const transaction = database.transaction().execute(async transaction => {
    await insert(transaction, 'taken back')
    t.strictSame(await names(transaction), ['taken back'], 'it sees its own rows')
    ask()
    await nextTurn()
    throw new Error('changed my mind')
  })
  const outside = isAsked.then(async () => await names(database))
  await t.rejects(transaction, { message: 'changed my mind' })
  t.strictSame(await outside, [])
})

t.test('transactions come one after the other', async t => {
  const database = await open(t)
  const steps: string[] = []
  await Promise.all(['a', 'b', 'c'].map(async name => await database.transaction().execute(async transaction => {
    steps.push(`${name} begins`)
    await insert(transaction, name)
    await nextTurn()
    steps.push(`${name} ends`)
  })))
  t.strictSame(steps, ['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
  t.strictSame(await names(database), ['a', 'b', 'c'])
})

t.test('a transaction that cannot begin, or is over before its end, holds nobody up', async t => {
  const database = await open(t)
  const rollback = CompiledQuery.raw('rollback')
  await database.executeQuery(CompiledQuery.raw('begin'))
  await t.rejects(database.transaction().execute(async () => {}), /within a transaction/)
  await database.executeQuery(rollback)
  // As after a full disk: the first error is the one to hear of.
  await t.rejects(database.transaction().execute(async transaction => await transaction.executeQuery(rollback)), /cannot commit - no transaction is active/)
  await database.transaction().execute(async transaction => await insert(transaction, 'after'))
  t.strictSame(await names(database), ['after'])
})

t.test('queries of one moment keep step: none waits for another one\'s answer', async t => {
  const database = await open(t)
  const steps: string[] = []
  await Promise.all([1, 2, 3].map(async () => {
    await names(database)
    steps.push('asked')
    await null
    steps.push('answered')
  }))
  t.strictSame(steps, ['asked', 'asked', 'asked', 'answered', 'answered', 'answered'])
})

function withResolvers (): { readonly promise: Promise<void>, readonly resolve: () => void } {
  let resolve = (): void => {}
  const promise = new Promise<void>(_resolve => { resolve = _resolve })
  return { promise, resolve }
}
