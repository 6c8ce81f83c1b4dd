import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import workers from 'node:worker_threads'
import { CompiledQuery, type Kysely } from 'kysely'
import t, { type Test } from 'tap'
import { openDatabase, query } from '../../src/database/database.js'
import { migrate } from '../../src/database/migrate.js'
import type { Database } from '../../src/database/schema.js'
import type { RepeatedQuery } from '../../src/database/sqlite-driver.js'
import { openWriteAheadLog, type Checkpointed } from '../../src/database/write-ahead-log.js'
import { runNode } from '../helpers/process.js'

type Flush = (error: Error | null) => void

const EIO = (): Error => Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' })
const onError = (): void => {}
const insert = async (database: Kysely<Database>, name: string): Promise<void> => { await query(async () => await database.insertInto('secrets').values({ name, value: '' }).execute()) }
const names = async (database: Kysely<Database>): Promise<string[]> => (await database.selectFrom('secrets').select('name').orderBy('name').execute()).map(({ name }) => name)

async function open (t: Test): Promise<{ readonly path: string, readonly database: Kysely<Database> }> {
  const path = join(t.testdir(), 'presignd.db')
  const database = openDatabase(`sqlite:${path}`, { onError })
  t.teardown(async () => await database.destroy())
  await migrate(database)
  return { path, database }
}

/** Puts `value` in place of a part of Node until the end of the test. */
function replace<T extends object> (t: Test, module: T, name: keyof T, value: unknown): void {
  // The last one that is registered is the first one that is done.
  t.teardown(() => { syncBuiltinESMExports() })
  t.intercept(module, name, { value })
  syncBuiltinESMExports()
}

/** A disk that writes when it is told to. */
function holdFlushes (t: Test): Flush[] {
  const held: Flush[] = []
  replace(t, fs, 'fdatasync', (_file: number, done: Flush) => { held.push(done) })
  return held
}

/** What is there after a power cut that took all of the log. */
async function namesWithoutLog (path: string): Promise<string[]> {
  const copy = `${path}.copy`
  fs.copyFileSync(path, copy)
  const database = openDatabase(`sqlite:${copy}`, { onError })
  try {
    return await names(database)
  } finally {
    await database.destroy()
  }
}

t.test('who writes is answered when it is on the disk; others go on meanwhile, and share the next flush', async t => {
  const { database } = await open(t)
  const held = holdFlushes(t)
  const answered: string[] = []
  const write = async (name: string): Promise<void> => {
    await insert(database, name)
    answered.push(name)
  }
  const writes = [write('a')]
  while (held.length === 0) await nextTurn()
  t.strictSame(await names(database), ['a'], 'a query does not wait for the disk')
  writes.push(write('b'), database.transaction().execute(async transaction => await insert(transaction, 'c')).then(() => { answered.push('c') }))
  while ((await names(database)).length < 3) await nextTurn()
  for (let turn = 0; turn < 10; turn++) await nextTurn()
  t.strictSame(answered, [])
  t.equal(held.length, 1, 'one at a time')

  held[0]?.(null)
  await writes[0]
  while (held.length < 2) await nextTurn()
  t.strictSame(answered, ['a'], 'those who came after the flush had begun wait for the next one')
  held[1]?.(null)
  await Promise.all(writes)
  t.strictSame(answered.sort(), ['a', 'b', 'c'])
  t.equal(held.length, 2)
})

t.test('a statement that is repeated is flushed, too, once', async t => {
  const { database } = await open(t)
  const held = holdFlushes(t)
  const many: RepeatedQuery = { ...CompiledQuery.raw('insert into secrets (name, value) values (?, ?)'), repeated: [['a', ''], ['b', '']] }
  let isAnswered = false
  const writing = database.executeQuery(many).then(() => { isAnswered = true })
  while (held.length === 0) await nextTurn()
  t.strictSame(await names(database), ['a', 'b'])
  t.notOk(isAnswered)
  held[0]?.(null)
  await writing
  t.equal(held.length, 1)
})

t.test('queries that change nothing flush nothing', async t => {
  const { database } = await open(t)
  const held = holdFlushes(t)
  await names(database)
  await database.with('named', query => query.selectFrom('secrets').selectAll()).selectFrom('named').selectAll().execute()
  t.equal(held.length, 0)
})

t.test('a log that cannot be flushed is not needed: what was committed goes to the database at once', async t => {
  const { path, database } = await open(t)
  const held = holdFlushes(t)
  const first = insert(database, 'a')
  while (held.length === 0) await nextTurn()
  t.strictSame(await namesWithoutLog(path).catch(() => []), [], 'so far it is in the log alone')
  held[0]?.(EIO())
  await first
  t.strictSame(await namesWithoutLog(path), ['a'])

  const second = insert(database, 'b')
  while (held.length < 2) await nextTurn()
  held[1]?.(null)
  await second
  t.pass('the log is trusted again')
})

t.test('where neither log nor database can be flushed, who writes hears of it until one of them can', async t => {
  const { path, database } = await open(t)
  await insert(database, 'before')
  const reader = openDatabase(`sqlite:${path}`, { onError, isReadOnly: true })
  t.teardown(async () => await reader.destroy())
  const held = holdFlushes(t)
  // Who reads an older state of the database keeps newer ones out of it.
  await reader.transaction().execute(async reading => {
    t.strictSame(await names(reading), ['before'])
    const failing = t.rejects(database.transaction().execute(async transaction => await insert(transaction, 'a')), { message: 'disk I/O error', errcode: 1034, cause: { code: 'EIO' } })
    while (held.length === 0) await nextTurn()
    const { promise: isOver, resolve: end } = withResolvers()
    const other = database.transaction().execute(async transaction => {
      await insert(transaction, 'b')
      await isOver
    })
    await nextTurn()
    held[0]?.(EIO())
    await failing
    end()
    await t.rejects(query(async () => await other), { code: 'NOT_READY', status: 503 }, 'Linux would say now that all is well')
    t.equal(held.length, 1)
  })
  await insert(database, 'c')
  t.strictSame(await namesWithoutLog(path), ['a', 'b', 'before', 'c'], 'what was taken back is another transaction\'s alone')
})

t.test('the log starts anew after every thousand pages or so, by one thread that ends with the database', async t => {
  const { path, database } = await open(t)
  const threads = countThreads(t)
  replace(t, fs, 'fdatasync', (_file: number, done: Flush) => { setImmediate(done, null) })
  const WRITES = 1000
  for (let write = 0; write < WRITES; write++) await insert(database, `${write}`)
  t.ok((await namesWithoutLog(path)).length > WRITES * 0.7, 'it was moved to the database')
  t.ok(fs.statSync(`${path}-wal`).size < 6e6, `${fs.statSync(`${path}-wal`).size} bytes`)
  t.equal((await names(database)).length, WRITES)
  t.strictSame(threads, { started: 1, ended: 0 })
  await database.destroy()
  t.strictSame(threads, { started: 1, ended: 1 })
})

t.test('the thread begins the log anew, too: who writes first would wait for the disk', async t => {
  const { path, database } = await open(t)
  const log = openWriteAheadLog(path, (): Checkpointed => { throw new Error('The log can be written') })
  t.teardown(async () => await log.close())
  // https://www.sqlite.org/fileformat2.html#walformat
  const readSequence = (): number => fs.readFileSync(`${path}-wal`).readUInt32BE(12)
  for (const name of ['a', 'b']) {
    const before = readSequence()
    await log.checkpoint()
    t.equal(readSequence(), before + 1)
    await insert(database, name)
    t.equal(readSequence(), before + 1)
  }
})

t.test('a thread that had nothing to do for half a minute ends, and another one is started when it is needed', async t => {
  const due: Array<() => void> = []
  let begun = 0
  const { setTimeout: real } = globalThis
  t.intercept(globalThis, 'setTimeout', {
    value (task: () => void, milliseconds: number): NodeJS.Timeout {
      const timer = real(task, milliseconds)
      if (milliseconds === 30_000) {
        due.push(task)
        const refresh = timer.refresh.bind(timer)
        timer.refresh = () => {
          begun++
          return refresh()
        }
      }
      return timer
    }
  })
  const { database } = await open(t)
  const threads = countThreads(t)
  replace(t, fs, 'fdatasync', (_file: number, done: Flush) => { setImmediate(done, null) })
  let written = 0
  const write = async (): Promise<void> => { await insert(database, `${written++}`) }
  while (threads.started === 0) await write()
  await write()
  t.equal(due.length, 1)
  t.equal(begun, 1, 'from the end of a checkpoint on')
  due[0]?.()
  while (threads.ended === 0) await nextTurn()
  t.strictSame(threads, { started: 1, ended: 1 })
  while (threads.started === 1) await write()
  await write()
  t.equal((await names(database)).length, written)
  await database.destroy()
  t.strictSame(threads, { started: 2, ended: 2 })
})

t.test('a process that has nothing else to do waits for its checkpoints', async t => {
  const path = join(t.testdir(), 'presignd.db')
  const running = runNode(t, ['--input-type=module', '--eval', `
    import { openDatabase } from './src/database/database.ts'
    import { migrate } from './src/database/migrate.ts'
    const database = openDatabase(${JSON.stringify(`sqlite:${path}`)}, { onError () {} })
    await migrate(database)
    for (let write = 0; write < 500; write++) await database.insertInto('secrets').values({ name: String(write), value: '' }).execute()
    await database.destroy()
    console.log('all are written')
  `])
  t.equal(await running.ended, 0, running.stderr())
  t.match(running.stdout(), 'all are written')
})

for (const [what, NotWorking] of [
  ['cannot be started', class { constructor () { throw new Error('no more threads') } }],
  ['fails', class extends workers.Worker { constructor () { super('throw new Error("out of memory")', { eval: true }) } }]
] as const) {
  t.test(`a thread for checkpoints that ${what} holds nobody up`, async t => {
    const { database } = await open(t)
    replace(t, fs, 'fdatasync', (_file: number, done: Flush) => { setImmediate(done, null) })
    replace(t, workers, 'Worker', NotWorking)
    const WRITES = 600
    for (let write = 0; write < WRITES; write++) await insert(database, `${write}`)
    t.equal((await names(database)).length, WRITES)
  })
}

function countThreads (t: Test): { readonly started: number, readonly ended: number } {
  const threads = { started: 0, ended: 0 }
  replace(t, workers, 'Worker', class extends workers.Worker {
    constructor (...args: ConstructorParameters<typeof workers.Worker>) {
      super(...args)
      threads.started++
      this.on('exit', () => { threads.ended++ })
    }
  })
  return threads
}

function withResolvers (): { readonly promise: Promise<void>, readonly resolve: () => void } {
  let resolve = (): void => {}
  const promise = new Promise<void>(_resolve => { resolve = _resolve })
  return { promise, resolve }
}
