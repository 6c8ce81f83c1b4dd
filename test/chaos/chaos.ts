// Many clients against replicas that are killed, frozen and restarted, a database whose backends are killed, and a
// store that fails. At the end everything is swept to rest, and the invariants are checked.
//   npm run test:chaos -- --seed 1 --minutes 10 --replicas 3 --clients 100
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Webhook } from 'standardwebhooks'
import pg from 'pg'
import { loadConfig } from '../../src/config.js'
import { sweepUploads } from '../../src/jobs/sweep-uploads.js'
import { createLog } from '../../src/logs.js'
import { closeServices, createServices, type Services } from '../../src/services.js'
import { buildService } from '../../build.js'
import { findViolations } from '../faults/fixtures/invariants.js'
import { startS3Proxy, type Fault } from '../faults/fixtures/s3-proxy.js'
import { startPostgres } from '../helpers/postgres.js'
import { AUDIENCE, createTestToken, POLICIES, SECRET } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { runClient, type Run } from './client.js'
import { createRandom } from './random.js'
import { startReplica, type Replica } from './replicas.js'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    minutes: { type: 'string', default: '10' },
    replicas: { type: 'string', default: '3' },
    clients: { type: 'string', default: '100' }
  }
})
const seed = Number(values.seed)
const random = createRandom(seed)
const DAY = 24 * 3_600_000
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true'
/** Short, so that uploads end while it runs; a policy may not say less. */
const UPLOAD_URL_TTL_SECONDS = 60
console.log(`chaos: seed ${seed}, ${values.minutes} minutes, ${values.replicas} replicas, ${values.clients} clients`)

const cleanups: Array<() => unknown> = []
const scope = { teardown: (cleanup: () => unknown) => { cleanups.push(cleanup) } } as unknown as Parameters<typeof startTestS3>[0]
process.exitCode = await main().finally(async () => { for (const cleanup of cleanups.reverse()) await cleanup() })

async function main (): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'presignd-chaos-'))
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }))
  const [postgres, s3] = await Promise.all([startPostgres(), startTestS3(scope)])
  cleanups.push(async () => await postgres.stop())
  const bucket = await s3.createBucket()
  const proxy = await startS3Proxy(scope, s3.endpoint)
  const receiver = await startReceiver()
  const program = await buildService('node_modules/.cache/presignd/chaos')
  const policiesFile = join(folder, 'policies.yaml')
  writeFileSync(policiesFile, `${POLICIES}webhooks:\n  all: { url: "${receiver.url}", secretFrom: WEBHOOK_SECRET, allowPrivateAddresses: true }\n`)
  const env = {
    DATABASE_URL: postgres.url,
    POLICIES_FILE: policiesFile,
    S3_BUCKET: bucket,
    S3_ENDPOINT: proxy.endpoint,
    S3_PUBLIC_ENDPOINT: s3.endpoint,
    S3_FORCE_PATH_STYLE: 'true',
    AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey,
    AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
    JWT_SECRET: SECRET,
    JWT_AUDIENCE: AUDIENCE,
    UPLOAD_URL_TTL_SECONDS: String(UPLOAD_URL_TTL_SECONDS),
    SWEEP_INTERVAL_SECONDS: '5',
    SHUTDOWN_DRAIN_SECONDS: '0',
    RATE_LIMIT_ADDRESS_PER_MINUTE: '0',
    RATE_LIMIT_USER_PER_MINUTE: '0',
    WEBHOOK_SECRET: receiver.secret
  }
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: env.AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: env.AWS_SECRET_ACCESS_KEY })

  const violations: string[] = []
  const violation = (text: string): void => {
    violations.push(text)
    console.log(`VIOLATION ${text}`)
  }
  const operations = new Map<string, number>()
  const faults = new Map<string, number>()
  const count = (counts: Map<string, number>, name: string): void => { counts.set(name, (counts.get(name) ?? 0) + 1) }
  const deadlines = new Map<string, number>()
  const accepted = new Set<string>()

  // One after the other: the first migrates.
  const replicas: Replica[] = []
  for (let index = 0; index < Number(values.replicas); index++) replicas.push(await startReplica(program, env, line => violation(`a replica says: ${line.slice(0, 500)}`)))

  const end = Date.now() + Number(values.minutes) * 60_000
  const isOver = (): boolean => Date.now() > end
  const run: Run = {
    urls: replicas.map(({ url }) => url),
    isOver,
    count: operation => count(operations, operation),
    violation,
    handedOut: (id, expiresAt) => deadlines.set(id, Math.max(deadlines.get(id) ?? 0, Date.parse(expiresAt))),
    accepted: id => accepted.add(id),
    takenBack: id => accepted.delete(id)
  }
  const storeRandom = random.fork(-1)
  proxy.rule = () => {
    if (isOver() || !storeRandom.chance(0.03)) return undefined
    const fault = storeRandom.pick<Fault>([{ kind: 'lose the answer' }, { kind: 'truncate' }, { kind: 'refuse' }, { kind: 'answer', status: 503, body: '<Error><Code>SlowDown</Code></Error>' }, { kind: 'answer', status: 500 }, { kind: 'wait', until: delay(3_000) }])
    count(faults, `store: ${fault.kind}`)
    return fault
  }

  async function disturb (): Promise<void> {
    const disturbing = random.fork(-2)
    while (!isOver()) {
      await delay(1_000 + disturbing.integer(3_000))
      const replica = disturbing.pick(replicas)
      const what = disturbing.pick(['kill', 'kill', 'restart', 'freeze', 'backends'] as const)
      count(faults, what)
      if (what === 'kill') await replica.kill()
      else if (what === 'restart') await replica.restart()
      else if (what === 'backends') await killBackends(postgres.url)
      else {
        replica.signal('SIGSTOP')
        await delay(disturbing.integer(10_000))
        replica.signal('SIGCONT')
      }
    }
  }

  const tokens = await Promise.all(Array.from({ length: Number(values.clients) }, async (_, index) => await createTestToken(`client-${index}`, { exp: Math.floor(end / 1000) + 3600 })))
  await Promise.all([disturb(), ...tokens.map(async (token, index) => await runClient(run, token, random.fork(index)).catch(error => violation(`client ${index}: ${String(error)}`)))])
  await Promise.all(replicas.map(async replica => await replica.stop()))

  // A clean process, without faults, at later times.
  let offset = 0
  const config = loadConfig({ ...env, S3_ENDPOINT: s3.endpoint })
  const created = await createServices(config, createLog({ ...config, logLevel: 'silent' }))
  cleanups.push(async () => await closeServices(created))
  const services: Services = { ...created, now: () => new Date(Date.now() + offset) }
  for (const days of [0, 0.1, 1, 2, 3, 4]) {
    offset = days * DAY
    await sweepUploads(services)
  }
  for (const text of await findViolations({ database: services.database, client: s3.client, buckets: [bucket], endpoint: 'all', isAtRest: true })) violation(text)
  const rows = await services.database.selectFrom('files').select(['id', 'status', 'url_deadline', 'replaced_into']).execute()
  for (const { id, status, url_deadline: deadline, replaced_into: replacedInto } of rows) {
    if (replacedInto === null && (deadlines.get(id) ?? 0) > deadline + 1000) violation(`I1: a URL of ${id} lives longer than its row says`)
    if (accepted.has(id) && status !== 'ready' && replacedInto === null) violation(`I9: the store accepted the bytes of ${id}, and it ended as ${status}`)
  }
  const events = await services.database.selectFrom('outbox').select(['id', 'delivered_at']).execute()
  for (const { id, delivered_at: deliveredAt } of events) if (deliveredAt !== null && !receiver.ids.has(id)) violation(`the event ${id} is marked as delivered and never came`)
  for (const id of receiver.ids) if (!events.some(event => event.id === id)) violation(`the event ${id} came and is not in the outbox`)
  for (const text of receiver.violations) violation(text)

  const sum = (counts: Map<string, number>): number => [...counts.values()].reduce((total, number) => total + number, 0)
  console.log(`operations: ${sum(operations)} ${JSON.stringify(Object.fromEntries(operations))}`)
  console.log(`faults: ${sum(faults)} ${JSON.stringify(Object.fromEntries(faults))}`)
  console.log(`rows: ${rows.length}, events: ${events.length}, of them delivered: ${events.filter(event => event.delivered_at !== null).length}, violations: ${violations.length}`)
  const isEmpty = rows.length === 0 || sum(faults) === 0
  if (isEmpty) console.log('nothing happened, which proves nothing')
  return violations.length > 0 || isEmpty ? 1 : 0
}

async function killBackends (url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'presignd' and random() < 0.5")
  await client.end()
}

/** Takes events, checks their signature, and refuses one in twenty. */
async function startReceiver () {
  const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
  const webhook = new Webhook(secret)
  const ids = new Set<string>()
  const bodies = new Map<string, string>()
  const violations: string[] = []
  const refusing = random.fork(-3)
  const server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = []
    incoming.on('data', chunk => chunks.push(chunk)).on('end', () => {
      const body = Buffer.concat(chunks).toString()
      const id = String(incoming.headers['webhook-id'])
      try {
        webhook.verify(body, incoming.headers as Record<string, string>)
      } catch (error) {
        violations.push(`an event does not verify: ${String(error)}`)
      }
      if (bodies.has(id) && bodies.get(id) !== body) violations.push(`the event ${id} came with another body`)
      bodies.set(id, body)
      if (refusing.chance(0.05)) { outgoing.writeHead(500).end(); return }
      ids.add(id)
      outgoing.writeHead(204).end()
    })
  })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  cleanups.push(() => { server.closeAllConnections(); server.close() })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, secret, ids, violations }
}
