import { once } from 'node:events'
import { connect } from 'node:net'
import { existsSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import t, { type Test } from 'tap'
import { reconcile } from '../../src/jobs/reconcile.js'
import { abortUpload } from '../../src/uploads/abort-upload.js'
import { serveMetrics } from '../../src/metrics/metrics-server.js'
import type { Prometheus } from '../../src/metrics/prometheus.js'
import type { Services } from '../../src/services.js'
import { runNode } from '../helpers/process.js'
import { startReceiver } from '../helpers/receiver.js'
import { png } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { ENGINES, startService, testEnvironment, type ServiceOptions, type TestService } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { until } from '../helpers/until.js'
import { hook, startWebhookService } from '../helpers/webhooks.js'

const s3 = await startTestS3(t)
const picture = png()
const body = { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length }

async function start (t: Test, options: ServiceOptions = {}): Promise<TestService> {
  return await startService(t, s3, { ...options, env: { METRICS_PORT: '0', ...options.env } })
}

/** The values of the page, by name and labels as they are written. */
async function scrape ({ services }: { readonly services: Services }): Promise<Map<string, number>> {
  const page = await services.prometheus?.render() ?? ''
  return new Map(page.split('\n').filter(line => line !== '' && !line.startsWith('#')).map(line => {
    const at = line.lastIndexOf(' ')
    return [line.slice(0, at), Number(line.slice(at + 1))]
  }))
}

async function upload (service: TestService, token: string, bytes = picture) {
  const { file, upload } = (await service.call('POST', '/uploads', { token, body })).json()
  await send(upload, bytes)
  return { file, reply: await service.call('POST', `/uploads/${file.id}/complete`, { token }) }
}

for (const engine of ENGINES) {
  t.test(engine, async t => {
    t.test('uploads are counted by what became of them, files by what they are', async t => {
      const clock = { ahead: 0 }
      const service = await start(t, { engine, adapt: services => ({ ...services, now: () => new Date(Date.now() + clock.ahead) }) })
      const ada = await service.token('ada')
      t.equal((await upload(service, ada)).reply.statusCode, 200)
      const wrong = Buffer.from(picture).fill(0)
      t.equal((await upload(service, ada, wrong)).reply.statusCode, 422)
      const { file } = (await service.call('POST', '/uploads', { token: ada, body })).json()
      await service.call('DELETE', `/uploads/${file.id}`, { token: ada })
      await service.call('POST', '/uploads', { token: ada, body })
      t.equal((await service.call('POST', '/uploads', { token: ada, body: { ...body, contentType: 'text/html' } })).statusCode, 415)
      const page = await scrape(service)
      for (const [outcome, count] of [['created', 4], ['ready', 1], ['rejected', 1], ['expired', 1]]) t.equal(page.get(`uploads_total{policy="pictures",outcome="${outcome}"}`), count, String(outcome))
      t.equal(page.get('files{status="ready"}'), 1)
      t.equal(page.get('files{status="unfinished"}'), 1)
      t.equal(page.get('upload_verify_seconds_count'), 2)
      t.ok((page.get('upload_verify_seconds_sum') ?? 0) > 0)
      t.equal(page.get('s3_requests_total{op="HeadObject",status="200"}'), 2)
      t.equal(page.get('http_server_request_duration_seconds_count{method="POST",route="/uploads/:id/complete",status="200"}'), 1)
      t.equal(page.get('http_server_request_duration_seconds_count{method="POST",route="/uploads",status="415"}'), 1)
      t.equal(page.get('database_up'), 1)
      for (const outcome of ['delivered', 'failed', 'dead']) t.equal(page.get(`webhook_deliveries_total{outcome="${outcome}"}`), 0, `an alert sees the first one that is ${outcome}`)
      t.ok((page.get('process_cpu_seconds_total') ?? 0) > 0)
    })

    t.test('what waits for the sweeper is told in seconds', async t => {
      const service = await start(t, { engine })
      t.equal((await scrape(service)).get('sweeper_lag_seconds'), 0)
      const late = await start(t, { engine, adapt: services => ({ ...services, now: () => new Date(Date.now() - 3600_000) }) })
      await late.call('POST', '/uploads', { token: await late.token('ada'), body })
      const lag = (await scrape(late)).get('sweeper_lag_seconds') ?? 0
      t.ok(lag > 3600 - 60 - 5 && lag < 3600, `first looked for a minute after its creation: ${lag}`)
    })

    t.test('a database that is out leaves its numbers out and nothing else', async t => {
      const service = await start(t, { engine })
      await upload(service, await service.token('ada'))
      await service.services.database.destroy()
      const page = await scrape(service)
      t.equal(page.get('database_up'), 0)
      t.strictSame([...page.keys()].filter(name => /^(files|sweeper_lag_seconds|outbox_oldest_seconds)\b/.test(name)), [])
      t.equal(page.get('uploads_total{policy="pictures",outcome="ready"}'), 1)
    })
  })
}

t.test('a store that does not answer is counted, and so is a call that fails', async t => {
  const broken = await start(t, { env: { S3_ENDPOINT: 'http://127.0.0.1:1' } })
  const ada = await broken.token('ada')
  const { file } = (await broken.call('POST', '/uploads', { token: ada, body })).json()
  t.equal((await broken.call('POST', `/uploads/${file.id}/complete`, { token: ada })).statusCode, 502)
  t.equal((await scrape(broken)).get('s3_requests_total{op="HeadObject",status="none"}'), 1, 'retries are one call')
  const missing = await start(t)
  const created = (await missing.call('POST', '/uploads', { token: ada, body })).json()
  t.equal((await missing.call('POST', `/uploads/${created.file.id}/complete`, { token: ada })).statusCode, 409)
  t.equal((await scrape(missing)).get('s3_requests_total{op="HeadObject",status="404"}'), 1)
})

t.test('a lease that someone else has ended is counted', async t => {
  const service: TestService = await start(t, {
    adapt: services => ({
      ...services,
      objectStorage: {
        ...services.objectStorage,
        async headObject (location) {
          const found = await services.objectStorage.headObject(location)
          const id = /[0-9a-f-]{36}/.exec(location.key)?.[0] ?? ''
          await abortUpload(services, { owner: 'ada', tenant: '', scopes: new Set(), claims: {} }, id)
          return found && { ...found, sizeBytes: 0 }
        }
      }
    })
  })
  await upload(service, await service.token('ada'))
  const page = await scrape(service)
  t.equal(page.get('uploads_total{policy="pictures",outcome="expired"}'), 1)
  t.equal(page.get('uploads_total{policy="pictures",outcome="rejected"}'), undefined)
  t.equal(page.get('lease_lost_total'), 1)
})

t.test('webhooks are counted by what became of each attempt, and the oldest one that waits is told', async t => {
  const receiver = await startReceiver(t)
  const service = await startWebhookService(t, s3, { webhooks: `all: ${hook(receiver.url)}`, env: { METRICS_PORT: '0' } })
  await service.upload()
  t.ok(((await scrape(service)).get('outbox_oldest_seconds') ?? 0) > 0)
  receiver.answer(response => { response.writeHead(500).end() })
  await service.deliver()
  receiver.answer(response => { response.writeHead(204).end() })
  service.after(3600_000)
  await service.deliver()
  const page = await scrape(service)
  t.equal(page.get('webhook_deliveries_total{outcome="failed"}'), 1)
  t.equal(page.get('webhook_deliveries_total{outcome="delivered"}'), 1)
})

t.test('a webhook that is disabled counts every event that dies with it', async t => {
  const receiver = await startReceiver(t)
  receiver.answer(response => { response.writeHead(410).end() })
  const service = await startWebhookService(t, s3, { webhooks: `all: ${hook(receiver.url)}`, env: { METRICS_PORT: '0' } })
  // More than are sent at a time.
  for (let file = 0; file < 12; file++) await service.upload()
  t.strictSame(await service.deliver(), { delivered: 0, failed: 0, dead: 12 })
  t.equal((await scrape(service)).get('webhook_deliveries_total{outcome="dead"}'), 12)
})

t.test('T28: no label is an owner, a key, an id or an address that was asked for', async t => {
  const service = await start(t)
  const ada = await service.token('ada@example.com')
  const { file } = await upload(service, ada)
  await service.call('GET', '/nowhere/at-all', { token: ada })
  await service.call('POST', '/uploads', { token: ada, body: { ...body, policy: 'made-up' } })
  const page = await service.services.prometheus?.render() ?? ''
  t.match(page, /route="none"/)
  for (const secret of ['ada@example.com', 'ada-example', file.id, 'nowhere', 'made-up', 'eyJ', 'X-Amz']) t.notOk(page.includes(secret), secret)
})

t.test('without METRICS_PORT nothing is counted', async t => {
  t.equal((await startService(t, s3)).services.prometheus, null)
})

t.test('the port answers GET /metrics and nothing else', async t => {
  const { services } = await start(t)
  const server = await serveMetrics(services.prometheus as Prometheus, '127.0.0.1', 0)
  t.teardown(async () => await server.close())
  const origin = `http://127.0.0.1:${server.port}`
  const page = await fetch(`${origin}/metrics?x=1`)
  t.equal(page.status, 200)
  t.match(page.headers.get('content-type'), /^text\/plain; version=0\.0\.4/)
  t.match(await page.text(), /^# HELP http_server_request_duration_seconds /m)
  for (const [method, path] of [['POST', '/metrics'], ['GET', '/'], ['GET', '/livez'], ['GET', '/metrics/x']] as const) t.equal((await fetch(origin + path, { method })).status, 404)
  await server.close()
  const socket = connect(server.port, '127.0.0.1')
  await t.rejects(once(socket, 'connect'), { code: 'ECONNREFUSED' })
})

t.test('the audit log', async t => {
  const path = join(t.testdir(), 'logs', 'audit.log')
  const service = await startService(t, s3, { env: { AUDIT_LOG: path } })
  const ada = await service.token('ada')
  const lines = (): Array<Record<string, unknown>> => readFileSync(path, 'utf8').trim().split('\n').map(line => JSON.parse(line))

  t.test('tells who did what to which file under which policy, and what came of it', async t => {
    const { file } = await upload(service, ada)
    await service.call('POST', '/downloads', { token: ada, body: { fileId: file.id } })
    await service.call('GET', `/downloads/${file.id}`, { token: ada })
    t.equal((await service.call('GET', `/files/${file.id}`, { token: await service.token('eve') })).statusCode, 404)
    t.equal((await service.call('GET', `/files/${file.id}`)).statusCode, 401)
    await service.call('DELETE', `/files/${file.id}`, { token: ada })
    await service.call('GET', '/livez')
    const files = [file.id]
    const own = { audit: true, owner: 'ada', tenant: '', files }
    t.match(lines(), [
      { ...own, what: 'createUpload', policy: 'pictures', outcome: 'ok', status: 201, ip: '127.0.0.1', requestId: /^[0-9a-f-]{36}$/, time: /^\d{4}-\d\d-\d\dT.*Z$/ },
      { ...own, what: 'file.ready', policy: 'pictures', outcome: 'ok' },
      { ...own, what: 'completeUpload', outcome: 'ok' },
      { ...own, what: 'createDownload', outcome: 'ok' },
      { ...own, what: 'redirectToDownload', outcome: 'ok', status: 307 },
      { audit: true, owner: 'eve', what: 'getFile', files, outcome: 'FILE_NOT_FOUND', status: 404 },
      { audit: true, what: 'getFile', files, outcome: 'UNAUTHENTICATED', status: 401 },
      { ...own, what: 'file.deleted', outcome: 'ok' },
      { ...own, what: 'deleteFile', outcome: 'ok', status: 204 }
    ])
    t.equal(lines().length, 9, 'and nothing of probes')
    t.notOk(Object.hasOwn(lines()[6] ?? {}, 'owner'), 'nobody is named who was not verified')
  })

  t.test('tells every file of a batch, and of what was refused its code', async t => {
    const begin = lines().length
    const { data } = (await service.call('POST', '/uploads/batch', { token: ada, body: { uploads: [body, { ...body, sizeBytes: 1e12 }, body] } })).json()
    await service.call('POST', '/uploads', { token: ada, body: { ...body, contentType: 'text/html' } })
    t.match(lines().slice(begin), [
      { what: 'createUploads', files: [data[0].file.id, data[2].file.id], outcome: 'ok' },
      { what: 'createUpload', files: [], policy: 'pictures', outcome: 'CONTENT_TYPE_NOT_ALLOWED' }
    ])
  })

  t.test('takes no other id for that of a file', async t => {
    const { ticket } = (await service.call('POST', '/uploads/tickets', { token: ada, body: { policy: 'pictures' } })).json()
    await service.call('DELETE', `/uploads/tickets/${ticket.id}`, { token: ada })
    t.match(lines().slice(-2), [{ what: 'createTicket', files: [], policy: 'pictures' }, { what: 'revokeTicket', files: [] }])
  })

  t.test('tells of an object that is missing as what it is, and no metric takes it for a new upload', async t => {
    const measured = await start(t, { env: { AUDIT_LOG: path } })
    const { file } = await upload(measured, ada)
    await measured.services.objectStorage.deleteObject({ bucket: measured.bucket, key: file.key })
    const begin = lines().length
    for await (const finding of reconcile(measured.services, { apply: true })) t.match(finding, { kind: 'row-without-object', fileId: file.id, action: 'told' })
    t.match(lines().slice(begin), [{ audit: true, what: 'file.missing', owner: 'ada', tenant: '', files: [file.id], policy: 'pictures', outcome: 'ok' }])
    t.equal((await scrape(measured)).get('uploads_total{policy="pictures",outcome="ready"}'), 1)
  })

  t.test('T28: holds no token and no URL', async t => {
    t.notMatch(readFileSync(path, 'utf8'), /X-Amz|eyJ|https?:\/\/|authorization/i)
  })
})

t.test('the audit log goes on in a new file after SIGHUP, when the old one was moved away', async t => {
  const path = join(t.testdir(), 'audit.log')
  const running = runNode(t, ['src/cli.ts', 'serve'], { ...await testEnvironment(t), PORT: '0', S3_BUCKET: 'files', S3_ENDPOINT: s3.endpoint, AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', AUDIT_LOG: path })
  const [, url = ''] = await running.output(/"listening":"([^"]+)"/)
  const files = (path: string): string[] => readFileSync(path, 'utf8').split('\n').filter(line => line !== '').map(line => JSON.parse(line).files[0])
  const [first, second, third] = ['019ac9a1-0000-7000-8000-000000000001', '019ac9a1-0000-7000-8000-000000000002', '019ac9a1-0000-7000-8000-000000000003']
  // A line may come a moment after the reply.
  const ask = async (id: string | undefined, path: string): Promise<void> => {
    await fetch(`${url}/files/${id}`)
    await until(() => files(path).includes(id ?? ''))
  }
  await ask(first, path)
  renameSync(path, `${path}.1`)
  await ask(second, `${path}.1`)
  running.child.kill('SIGHUP')
  await until(() => existsSync(path))
  await ask(third, path)
  t.strictSame(files(`${path}.1`), [first, second])
  t.strictSame(files(path), [third])
})

// Linux alone has it; writing to it fails as on a full disk: https://man7.org/linux/man-pages/man4/full.4.html
if (existsSync('/dev/full')) {
  t.test('a disk that is full costs lines of the audit log, and no request', async t => {
    const log = new PassThrough()
    const service = await startService(t, s3, { env: { AUDIT_LOG: '/dev/full' }, logTo: log })
    const { reply } = await upload(service, await service.token('ada'))
    t.match({ status: reply.statusCode, file: reply.json().file }, { status: 200, file: { status: 'ready' } })
    t.match(String(log.read()), /the audit log cannot be written/)
  })
}

t.test('an audit log that cannot be opened keeps the service from starting, and says so', async t => {
  const path = join(t.testdir({ file: '' }), 'file', 'audit.log')
  await t.rejects(startService(t, s3, { env: { AUDIT_LOG: path } }), { name: 'ConfigError', problems: [new RegExp(`^AUDIT_LOG: ${path} cannot be written: `)] })
})

t.test('the board, the alerts and the table of docs/operations.md name metrics that exist', async t => {
  const page = await (await start(t)).services.prometheus?.render() ?? ''
  const known = new Set([...page.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name = '', type]) => type === 'histogram' ? [name, `${name}_count`, `${name}_sum`, `${name}_bucket`] : [name]))
  const board = JSON.parse(readFileSync(new URL('../../deploy/grafana.json', import.meta.url), 'utf8')) as { panels: Array<{ targets: Array<{ expr: string }> }> }
  const docs = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8')
  const section = docs.slice(0, docs.indexOf('## Who did what'))
  const expressions = [...board.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)), ...[...section.matchAll(/^\|.*?\| `(.*?)` \|$/gm)].map(([, expression = '']) => expression)]
  t.ok(expressions.length > 15)
  const named = expressions.flatMap(expression => [...expression.matchAll(/[a-z0-9_]+(?=[[{)]|$| ==)/g)].map(([name]) => name)).filter(name => /_|^files$/.test(name) && !name.startsWith('__'))
  const tabled = [...section.matchAll(/^\| `([a-z0-9_]+)` \|/gm)].map(([, name = '']) => name)
  t.ok(named.length > 15 && tabled.length > 10)
  for (const name of [...named, ...tabled]) t.ok(known.has(name), name)
})
