import t, { type Test } from 'tap'
import { sweepUploads } from '../../src/jobs/sweep-uploads.js'
import type { Services } from '../../src/services.js'
import { runCli } from '../helpers/process.js'
import { png } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { POLICIES, startService, type TestService } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { findViolations } from './fixtures/invariants.js'
import { startS3Proxy } from './fixtures/s3-proxy.js'

const s3 = await startTestS3(t)
const picture = png()
const WEBHOOK = 'webhooks:\n  all: { url: "http://127.0.0.1:9/", secretFrom: WEBHOOK_SECRET, allowPrivateAddresses: true }\n'
const secret = { WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}` }

async function start (t: Test, adapt: (services: Services) => Services = services => services): Promise<TestService & { ada: string }> {
  const service = await startService(t, s3, { engine: 'postgres', policies: POLICIES + WEBHOOK, env: secret, adapt })
  return { ...service, ada: await service.token('ada') }
}

/** What another process needs to be a replica of this service. */
function environmentOf ({ config, bucket }: TestService): Record<string, string> {
  return {
    ...secret,
    DATABASE_URL: config.database.url,
    POLICIES_FILE: config.policiesFile,
    S3_BUCKET: bucket,
    S3_ENDPOINT: s3.endpoint,
    S3_FORCE_PATH_STYLE: 'true',
    AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey,
    JWT_SECRET: 'secret' in config.jwt.keys ? config.jwt.keys.secret : '',
    JWT_AUDIENCE: config.jwt.audiences?.[0] ?? '',
    PORT: '0',
    SHUTDOWN_DRAIN_SECONDS: '0',
    SWEEP_INTERVAL_SECONDS: '0'
  }
}

t.test('F22: two processes sweep five hundred rows, and each is given up once', async t => {
  const service = await start(t)
  const { services, call, ada, bucket } = service
  const { file } = (await call('POST', '/uploads', { token: ada, body: { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: 10 } })).json()
  const row = await services.database.selectFrom('files').selectAll().where('id', '=', file.id).executeTakeFirstOrThrow()
  const past = Date.now() - 3_600_000
  await services.database.updateTable('files').set({ url_deadline: past, next_check_at: past }).execute()
  const copies = Array.from({ length: 499 }, (_, index) => ({ ...row, id: `copy-${index}`, object_key: `copy/${index}`, url_deadline: past, next_check_at: past }))
  await services.database.insertInto('files').values(copies).execute()
  await services.database.updateTable('usage').set({ files: 500, pending: 500, bytes: 5000 }).execute()

  const sweepers = [1, 2].map(() => runCli(t, ['sweep'], environmentOf(service)))
  t.strictSame(await Promise.all(sweepers.map(async ({ ended }) => await ended)), [0, 0])
  const reports = sweepers.map(({ stdout }) => JSON.parse(stdout()) as { swept: number, expired: number })
  t.equal(reports.reduce((sum, { expired }) => sum + expired, 0), 500)
  t.equal((await services.database.selectFrom('outbox').select('id').where('type', '=', 'file.expired').execute()).length, 500)
  t.strictSame(await services.database.selectFrom('usage').select(['files', 'pending', 'bytes']).execute(), [{ files: 0, pending: 0, bytes: 0 }])
  t.strictSame(await findViolations({ database: services.database, client: s3.client, buckets: [bucket], endpoint: 'all', isAtRest: false }), [])
})

t.test('F23: a process that is frozen past its lease changes nothing when it wakes', async t => {
  let offset = 0
  const service = await start(t, services => ({ ...services, now: () => new Date(Date.now() + offset) }))
  const { services, call, ada, bucket } = service
  const proxy = await startS3Proxy(t, s3.endpoint)
  const replica = runCli(t, ['serve'], { ...environmentOf(service), S3_ENDPOINT: proxy.endpoint })
  const [, url = ''] = await replica.output(/"listening":"([^"]+)"/)

  const { file, upload } = (await call('POST', '/uploads', { token: ada, body: { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length } })).json()
  await send(upload, picture)
  let thaw = (): void => {}
  const thawed = new Promise<void>(resolve => { thaw = resolve })
  // The process is stopped between what it saw and what it is about to write.
  const frozen = new Promise<void>(resolve => {
    proxy.rule = ({ operation }) => {
      if (operation !== 'GetObject') return undefined
      // It is asked again if the client thinks that this took too long.
      proxy.rule = () => undefined
      replica.child.kill('SIGSTOP')
      resolve()
      return { kind: 'wait', until: thawed }
    }
  })
  const late = fetch(`${url}/uploads/${file.id}/complete`, { method: 'POST', headers: { authorization: `Bearer ${ada}` } })
  await frozen
  t.match(await sweepUploads(services), { swept: 0 }, 'its lease holds')
  offset = 120_000
  t.match(await sweepUploads(services), { ready: 1 }, 'and has run out')
  const row = async () => await services.database.selectFrom('files').selectAll().where('id', '=', file.id).executeTakeFirstOrThrow()
  const before = await row()
  thaw()
  replica.child.kill('SIGCONT')
  t.equal((await late).status, 200, 'the client hears what the other process found')
  t.strictSame(await row(), before)
  t.strictSame(await findViolations({ database: services.database, client: s3.client, buckets: [bucket], endpoint: 'all', isAtRest: false }), [])
})

t.test('F31: three processes that start on an empty database migrate it once, and all serve', async t => {
  const service = await start(t)
  for (const table of ['kysely_migration', 'kysely_migration_lock', 'files', 'secrets', 'usage', 'outbox', 'disabled_webhooks', 'webhook_urls', 'upload_tickets']) {
    await service.services.database.schema.dropTable(table).ifExists().cascade().execute()
  }
  const replicas = [1, 2, 3].map(() => runCli(t, ['serve'], environmentOf(service)))
  const urls = await Promise.all(replicas.map(async ({ output }) => (await output(/"listening":"([^"]+)"/))[1]))
  const migrated = replicas.flatMap(({ stdout }) => [...stdout().matchAll(/"migrations":(\[[^\]]+\])/g)].flatMap(([, names]) => JSON.parse(names as string) as string[]))
  t.ok(migrated.length > 0)
  t.equal(new Set(migrated).size, migrated.length, 'each once')
  for (const url of urls) t.equal((await fetch(`${url}/readyz`)).status, 200)
})

t.test('three processes are one service: what one began, the others go on with', async t => {
  const service = await start(t)
  const replicas = [1, 2, 3].map(() => runCli(t, ['serve'], environmentOf(service)))
  const urls = await Promise.all(replicas.map(async ({ output }) => (await output(/"listening":"([^"]+)"/))[1]))
  const call = async (replica: number, path: string, body?: object) => await (await fetch(`${urls[replica]}${path}`, {
    method: body ? 'POST' : 'GET',
    headers: { authorization: `Bearer ${service.ada}`, 'content-type': 'application/json', 'idempotency-key': 'one' },
    ...(body && { body: JSON.stringify(body) })
  })).json() as { file: { id: string, status: string }, upload: Parameters<typeof send>[0], data: Array<{ id: string }>, nextCursor?: string }
  const body = { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length }
  const [first, second] = await Promise.all([call(0, '/uploads', body), call(1, '/uploads', body)])
  t.equal(first.file.id, second.file.id, 'the same key is the same upload everywhere')
  await send(second.upload, picture)
  t.equal((await call(2, `/uploads/${first.file.id}/complete`, {})).file.status, 'ready')
  t.equal((await call(1, `/files/${first.file.id}`)).file.status, 'ready')
  t.strictSame((await call(0, '/files')).data.map(({ id }) => id), [first.file.id])
})
