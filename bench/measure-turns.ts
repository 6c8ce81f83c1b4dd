import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { setTimeout as delay } from 'node:timers/promises'
import type { compile } from './compile.js'
import { CREATES, upload, type Operation } from './operations.js'
import { benchEnvironment, startProgram, startServer, type Server } from './servers.js'

const TIMES = 20
/** In 30 values, what makes a hundred uploads a request of a MiB, the most that is taken. */
const metadata = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`name-${index}`, 'v'.repeat(300)]))
const batch = (more: object) => ({ method: 'POST', path: '/uploads/batch', body: JSON.stringify({ uploads: Array.from({ length: 100 }, () => ({ ...upload, ...more })) }) })

/** What takes longest of all that may be asked for. */
const HEAVY: ReadonlyArray<Pick<Operation, 'label' | 'request'>> = [
  CREATES[0],
  { label: '`POST /uploads/batch` with 100', request: batch({}) },
  { label: '`POST /uploads/batch` with 100 and a MiB of metadata', request: batch({ metadata }) },
  { label: '`POST /uploads/batch` with 100 in parts, 10,000 URLs', request: batch({ sizeBytes: 1024 ** 3, method: 'multipart' }) },
  { label: '`GET /files` with 100', request: { method: 'GET', path: '/files?limit=100&status=pending' } },
  { label: '`GET /openapi.json`', request: { method: 'GET', path: '/openapi.json' } }
]

/** The longest turn of the event loop, in milliseconds: while the first request of its kind was answered, and each of those that came after. */
export interface Turns { readonly label: string, readonly first: number, readonly later: readonly number[] }

/** Requests that come one at a time, to a service that has just started, beside the smallest one to the bare server. */
export async function measureTurns (fileOf: Awaited<ReturnType<typeof compile>>, parent: string): Promise<Turns[]> {
  const folder = join(parent, 'turns')
  mkdirSync(folder)
  const common = { ...benchEnvironment(folder), S3_REGION: 'us-east-1' }
  const store = await startProgram('store', [fileOf('store')], { fileOf, folder, core: 0, env: { ...common, DATA_DIR: folder, NODE_ENV: 'test' } })
  const env = { ...common, S3_ENDPOINT: store.url, S3_FORCE_PATH_STYLE: 'true' }
  const flags = ['--import', pathToFileURL(fileOf('turn-probe')).href]
  const results: Turns[] = []
  try {
    // One at a time, on any core: the probe keeps one busy, and the threads that collect and flush need another.
    for (const name of ['jwt', 'presignd'] as const) {
      const server = await startServer(name, fileOf, folder, env, { flags, core: null })
      try {
        const operations = name === 'jwt' ? [{ label: 'bare Fastify + @fastify/jwt, constant reply', request: server.request }] : HEAVY
        for (const operation of operations) results.push(await measureOne(operation, server, folder))
      } finally {
        await server.stop()
      }
    }
    return results
  } finally {
    await store.stop()
  }
}

async function measureOne ({ label, request: { method, path, body } }: Pick<Operation, 'label' | 'request'>, { name, url, child, request }: Server, folder: string): Promise<Turns> {
  const told = (): string[] => [...readFileSync(join(folder, `${name}.log`), 'utf8').matchAll(/^turn ([\d.]+)$/gm)].map(([, milliseconds]) => milliseconds as string)
  async function readLongest (): Promise<number> {
    const known = told().length
    child.kill('SIGUSR2')
    while (told().length === known) await delay(5)
    return Number(told().at(-1))
  }
  const turns: number[] = []
  for (let time = 0; time <= TIMES; time++) {
    await readLongest()
    const reply = await fetch(url + path, { method, headers: request.headers, ...(body !== undefined && { body }) })
    const text = await reply.text()
    if (!reply.ok || text.includes('"problem":{"type":"/errors')) throw new Error(`${label} was answered with ${reply.status}: ${text.slice(0, 200)}`)
    turns.push(await readLongest())
  }
  const [first = NaN, ...later] = turns
  return { label, first, later }
}
