import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { Webhook } from 'standardwebhooks'
import t, { type Test } from 'tap'
import { keepDelivering } from '../../src/jobs/keep-delivering.js'
import { startReceiver, type Received } from '../helpers/receiver.js'
import { ENGINES, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { until } from '../helpers/until.js'
import { hook, HOOK_SECRET, OLD_HOOK_SECRET, startWebhookService } from '../helpers/webhooks.js'

const s3 = await startTestS3(t)
const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
/** The schedule of Standard Webhooks. */
const DELAYS = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR]

/** As the specification says, and whatever the clock says. */
function isSigned ({ headers, body }: Received, secret = HOOK_SECRET): boolean {
  const at = new Date(Number(headers['webhook-timestamp']) * 1000)
  return String(headers['webhook-signature']).split(' ').includes(new Webhook(secret).sign(String(headers['webhook-id']), at, body))
}

for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  const start = async (t: Test, webhooks: string, options: Partial<Parameters<typeof startWebhookService>[2]> = {}) => await startWebhookService(t, s3, { engine, webhooks, ...options })

  t.test('T38: a webhook verifies with the published library, and with nothing changed', async t => {
    const receiver = await startReceiver(t)
    const { upload, deliver, outbox } = await start(t, `app: ${hook(receiver.url)}`)
    const file = await upload()
    t.strictSame(await deliver(), { delivered: 1, failed: 0, dead: 0 })
    const [{ headers, body } = { headers: {}, body: '' }] = receiver.received
    const signed = headers as Record<string, string>
    const webhook = new Webhook(HOOK_SECRET)
    t.match(webhook.verify(body, signed), { type: 'file.ready', data: { id: file.id } })
    t.match(headers, { 'content-type': 'application/json', 'user-agent': /^presignd\// })
    const [row] = await outbox()
    t.equal(headers['webhook-id'], row?.id)
    t.equal(body, row?.payload)
    t.throws(() => webhook.verify(body.replace('"ada"', '"eve"'), signed), 'another body')
    t.throws(() => webhook.verify(body, { ...signed, 'webhook-id': 'other' }), 'another id')
    t.throws(() => webhook.verify(body, { ...signed, 'webhook-timestamp': String(Number(signed['webhook-timestamp']) + 1) }), 'another time')
    t.throws(() => new Webhook(OLD_HOOK_SECRET).verify(body, signed), 'another secret')
    t.strictSame(await deliver(), { delivered: 0, failed: 0, dead: 0 }, 'and it does not come again')
  })

  t.test('T38: a repeat has the same id and body, and a new time', async t => {
    const receiver = await startReceiver(t)
    receiver.answer(response => { response.writeHead(500).end() })
    const { upload, deliver, after } = await start(t, `app: ${hook(receiver.url)}`)
    await upload()
    await deliver()
    after(7 * SECOND)
    receiver.answer(response => { response.writeHead(200).end() })
    t.match(await deliver(), { delivered: 1 })
    const [first, second] = receiver.received
    t.equal(first?.headers['webhook-id'], second?.headers['webhook-id'])
    t.equal(first?.body, second?.body)
    t.ok(Number(second?.headers['webhook-timestamp']) - Number(first?.headers['webhook-timestamp']) >= 6)
    for (const received of receiver.received) t.ok(isSigned(received))
  })

  t.test('T38: while a secret is rotated, both verify', async t => {
    const receiver = await startReceiver(t)
    const { upload, deliver } = await start(t, `app: ${hook(receiver.url)}`, { env: { HOOK_SECRET: `${HOOK_SECRET} ${OLD_HOOK_SECRET}` } })
    await upload()
    await deliver()
    const [{ headers, body } = { headers: {}, body: '' }] = receiver.received
    t.equal(String(headers['webhook-signature']).split(' ').length, 2)
    for (const secret of [HOOK_SECRET, OLD_HOOK_SECRET]) t.doesNotThrow(() => new Webhook(secret).verify(body, headers as Record<string, string>))
  })

  t.test('F34: a receiver that fails is asked ten times in three days, and then no more', async t => {
    const receiver = await startReceiver(t)
    receiver.answer(response => { response.writeHead(500).end('no') })
    const { upload, deliver, after, outbox, services } = await start(t, `app: ${hook(receiver.url)}`, { isClockStopped: true })
    await upload()
    for (const [index, delay] of DELAYS.entries()) {
      const before = services.now().getTime()
      t.strictSame(await deliver(), { delivered: 0, failed: 1, dead: 0 })
      t.equal(receiver.received.length, index + 1)
      const [row] = await outbox()
      const wait = Number(row?.next_attempt_at) - before
      t.ok(wait >= delay * 0.8 && wait <= delay * 1.2, `${wait} ms for ${delay} ms`)
      t.match(row, { attempts: index + 1, last_status: 500, last_error: 'the receiver answered 500', lease_token: null })
      after(Number(row?.next_attempt_at) - services.now().getTime() - SECOND)
      t.match(await deliver(), { failed: 0 }, 'not a second earlier')
      after(SECOND)
    }
    t.strictSame(await deliver(), { delivered: 0, failed: 0, dead: 1 })
    after(72 * HOUR)
    t.strictSame(await deliver(), { delivered: 0, failed: 0, dead: 0 })
    t.equal(receiver.received.length, 10)
    t.equal(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size, 1)
  })

  const failures: ReadonlyArray<[name: string, status: number, headers: Record<string, string> | ((now: Date) => Record<string, string>), least: number, most: number]> = [
    ['a redirect', 302, { location: 'http://127.0.0.1:1/' }, 4 * SECOND, 7 * SECOND],
    ['an error of its own', 400, {}, 4 * SECOND, 7 * SECOND],
    ['429 with the seconds to wait', 429, { 'retry-after': '120' }, 119 * SECOND, 121 * SECOND],
    ['503 with a shorter time than the schedule', 503, { 'retry-after': '1' }, 4 * SECOND, 7 * SECOND],
    ['503 with a date', 503, now => ({ 'retry-after': new Date(now.getTime() + HOUR).toUTCString() }), HOUR - SECOND, HOUR],
    ['a time without end', 503, { 'retry-after': '9999999999' }, 24 * HOUR - SECOND, 24 * HOUR + SECOND],
    ['nonsense', 503, { 'retry-after': 'tomorrow' }, 4 * SECOND, 7 * SECOND],
    ['an early hint and nothing more', 304, {}, 4 * SECOND, 7 * SECOND]
  ]
  for (const [name, status, headers, least, most] of failures) {
    t.test(`F34: ${name} is a failure`, async t => {
      const receiver = await startReceiver(t)
      const { upload, deliver, outbox, services } = await start(t, `app: ${hook(receiver.url)}`, { isClockStopped: true })
      receiver.answer(response => { response.writeHead(status, typeof headers === 'function' ? headers(services.now()) : headers).end() })
      await upload()
      t.match(await deliver(), { failed: 1 })
      const [row] = await outbox()
      t.equal(row?.last_status, status)
      const wait = Number(row?.next_attempt_at) - services.now().getTime()
      t.ok(wait >= least && wait <= most, `${wait} ms`)
    })
  }

  t.test('F34: 410 disables the webhook for good, and tells it', async t => {
    const receiver = await startReceiver(t)
    receiver.answer(response => { response.writeHead(410).end() })
    const { upload, deliver, outbox, services, call, token, after } = await start(t, `app: ${hook(receiver.url)}`)
    const root = await token('root', { scope: 'files:admin' })
    await upload()
    await upload()
    await deliver()
    const asked = receiver.received.length
    t.ok(asked <= 2)
    t.match(await outbox(), [{ dead_at: Number, last_status: 410 }, { dead_at: Number, last_status: 410 }])
    t.strictSame([...await services.webhooks.outbox.disabledEndpoints(services.now())], ['app'])
    await upload()
    after(24 * HOUR)
    await deliver()
    t.equal(receiver.received.length, asked, 'it is left alone')
    const { data } = (await call('GET', '/webhook-deliveries?status=dead', { token: root })).json()
    t.match(data, [{ lastStatus: 410, lastError: /disabled/ }, { lastStatus: 410 }], 'and nothing was written in the meantime')
    const refused = await call('POST', `/webhook-deliveries/${data[0].id}/replay`, { token: root })
    t.equal(refused.statusCode, 409)
    t.match(refused.json(), { code: 'WEBHOOK_DISABLED', detail: /presignd webhooks enable app/ })

    receiver.answer(response => { response.writeHead(204).end() })
    t.equal(await services.webhooks.outbox.enable('app'), true)
    t.equal(await services.webhooks.outbox.enable('app'), false)
    t.equal((await call('POST', `/webhook-deliveries/${data[0].id}/replay`, { token: root })).statusCode, 202)
    t.match(await deliver(), { delivered: 1 })
  })

  t.test('F34: another URL enables a disabled webhook, the same one does not', async t => {
    const receiver = await startReceiver(t)
    receiver.answer(response => { response.writeHead(410).end() })
    const first = await start(t, `app: ${hook(receiver.url)}`)
    await first.upload()
    await first.deliver()
    const again = async (url: string) => await start(t, `app: ${hook(url)}`, { env: { DATABASE_URL: first.config.database.url } })
    const disabled = async ({ services }: Pick<typeof first, 'services'>) => [...await services.webhooks.outbox.disabledEndpoints(services.now())]
    t.strictSame(await disabled(await again(receiver.url)), ['app'], 'after a restart, too')
    t.strictSame(await disabled(await again(`${receiver.url}/v2`)), [])
  })

  t.test('F34: while the URL changes, a 410 of the old one costs no event, whoever writes and claims it', async t => {
    const gone = await startReceiver(t)
    const taking = await startReceiver(t)
    gone.answer(response => { response.writeHead(410).end() })
    const old = await start(t, `app: ${hook(gone.url)}`)
    const current = await start(t, `app: ${hook(taking.url)}`, { env: { DATABASE_URL: old.config.database.url } })
    for (let file = 0; file < 12; file++) await current.upload()
    t.match(await old.deliver(), { delivered: 0, dead: 0 })
    const asked = gone.received.length
    t.ok(asked <= 10)
    await old.upload()
    t.strictSame(await old.deliver(), { delivered: 0, failed: 0, dead: 0 })
    t.equal(gone.received.length, asked, 'the old URL is left alone')
    t.strictSame(await current.deliver(), { delivered: 13, failed: 0, dead: 0 }, 'what the old process wrote, too')

    taking.answer(response => { response.writeHead(500).end() })
    const last = await old.upload()
    t.match(await current.deliver(), { failed: 1 })
    old.after(30 * MINUTE)
    t.match(await old.deliver(), { dead: 0 }, 'the other URL was seen of late')
    old.after(HOUR)
    t.strictSame(await old.deliver(), { delivered: 0, failed: 0, dead: 1 }, 'nobody has another URL any more')
    t.equal((await old.call('DELETE', `/files/${last.id}`, { token: old.ada })).statusCode, 204)
    t.equal((await old.outbox()).length, 14, 'and nothing more is written')
  })

  t.test('F34: a URL stays in use for as long as a process that has it runs', async t => {
    const gone = await startReceiver(t)
    const taking = await startReceiver(t)
    gone.answer(response => { response.writeHead(410).end() })
    const old = await start(t, `app: ${hook(gone.url)}`)
    const current = await start(t, `app: ${hook(taking.url)}`, { env: { DATABASE_URL: old.config.database.url } })
    const file = await old.upload()
    t.match(await old.deliver(), { failed: 1, dead: 0 })
    for (const { after } of [old, current]) after(2 * HOUR)
    t.match(await current.deliver(), { delivered: 1 })
    t.equal((await old.call('DELETE', `/files/${file.id}`, { token: old.ada })).statusCode, 204)
    t.strictSame(await old.deliver(), { delivered: 0, failed: 0, dead: 0 })
    t.match(await current.deliver(), { delivered: 1 })
  })

  t.test('F34: when both URLs of a change answer 410, the webhook is disabled, and enabled as a whole', async t => {
    const receiver = await startReceiver(t)
    receiver.answer(response => { response.writeHead(410).end() })
    const old = await start(t, `app: ${hook(receiver.url)}`)
    const current = await start(t, `app: ${hook(`${receiver.url}/v2`)}`, { env: { DATABASE_URL: old.config.database.url } })
    await current.upload()
    t.match(await old.deliver(), { failed: 1, dead: 0 })
    t.match(await current.deliver(), { failed: 0, dead: 1 })
    const nothing = { delivered: 0, failed: 0, dead: 0 }
    for (const service of [old, current]) {
      await service.upload()
      t.strictSame(await service.deliver(), nothing)
    }
    t.equal((await old.outbox()).length, 1)
    t.equal(await current.services.webhooks.outbox.enable('app'), true)
    receiver.answer(response => { response.writeHead(204).end() })
    for (const service of [old, current]) {
      await service.upload()
      t.match(await service.deliver(), { delivered: 1 })
    }
  })

  t.test('F35: a receiver that hangs holds up nobody else', async t => {
    const hanging = await startReceiver(t)
    const endless = await startReceiver(t)
    const good = await startReceiver(t)
    let isHanging = true
    const held: ServerResponse[] = []
    hanging.answer(response => { isHanging ? held.push(response) : response.end() })
    let written = 0
    endless.answer(response => {
      response.writeHead(200)
      const more = (): void => {
        written += 16 * 1024
        if (!response.destroyed) response.write(Buffer.alloc(16 * 1024), more)
      }
      more()
    })
    const { upload, services, outbox } = await start(t, `hanging: ${hook(hanging.url)}\nendless: ${hook(endless.url)}\ngood: ${hook(good.url)}`, { timeoutMs: 120_000 })
    const delivering = keepDelivering(services)
    const FILES = 25
    for (let file = 0; file < FILES; file++) await upload()
    const delivered = async (endpoint: string) => (await outbox()).filter(row => row.endpoint === endpoint && row.delivered_at !== null).length
    await until(async () => await delivered('good') === FILES && await delivered('endless') === FILES)
    t.equal(await delivered('hanging'), 0)
    t.ok(hanging.received.length > 0 && hanging.received.length <= 10, 'ten at a time')
    t.ok(written < FILES * 16 * 1024 ** 2, `an endless answer ends: ${written} bytes`)
    isHanging = false
    for (const response of held) response.end()
    await until(async () => await delivered('hanging') === FILES)
    await delivering.stop()
  })

  t.test('F35: a receiver that does not answer, or never ends, is given up in time', async t => {
    const hanging = await startReceiver(t)
    const trickling = await startReceiver(t)
    hanging.answer(() => {})
    trickling.answer(response => { response.writeHead(200).write('x') })
    const { upload, deliver, outbox } = await start(t, `hanging: ${hook(hanging.url)}\ntrickling: ${hook(trickling.url)}`, { timeoutMs: 3000 })
    await upload()
    t.strictSame(await deliver(), { delivered: 1, failed: 1, dead: 0 })
    const rows = await outbox()
    t.match(rows.find(({ endpoint }) => endpoint === 'hanging'), { last_status: null, last_error: 'no answer in time', delivered_at: null })
    t.match(rows.find(({ endpoint }) => endpoint === 'trickling'), { last_status: 200, delivered_at: Number })
  })

  t.test('F35: an answer that stops in the middle counts by its status', async t => {
    const receiver = await startReceiver(t)
    receiver.answer(response => {
      response.writeHead(200, { 'content-length': '1000' })
      response.write('x', () => response.destroy())
    })
    const { upload, deliver } = await start(t, `app: ${hook(receiver.url)}`)
    await upload()
    t.match(await deliver(), { delivered: 1 })
  })

  t.test('a later event of a file waits for the earlier one, and other files do not', async t => {
    const receiver = await startReceiver(t)
    const { upload, deliver, call, ada, after, outbox } = await start(t, `app: ${hook(receiver.url)}`)
    const first = await upload()
    receiver.answer((response, { body }) => { response.writeHead(body.includes(first.id) ? 500 : 200).end() })
    await deliver()
    await call('DELETE', `/files/${first.id}`, { token: ada })
    const second = await upload()
    await call('DELETE', `/files/${second.id}`, { token: ada })
    t.strictSame(await deliver(), { delivered: 2, failed: 0, dead: 0 })
    receiver.answer(response => { response.writeHead(200).end() })
    after(7 * SECOND)
    t.strictSame(await deliver(), { delivered: 2, failed: 0, dead: 0 })
    const told = receiver.received.map(({ body }) => JSON.parse(body)).filter(({ data }) => data.id === first.id).map(({ type }) => type)
    t.strictSame(told, ['file.ready', 'file.ready', 'file.deleted'])
    t.ok((await outbox()).every(({ delivered_at: at }) => at !== null))
  })

  t.test('after an event that is dead the next one comes', async t => {
    const receiver = await startReceiver(t)
    const { upload, deliver, call, ada, services, outbox } = await start(t, `app: ${hook(receiver.url)}`)
    const file = await upload()
    await call('DELETE', `/files/${file.id}`, { token: ada })
    const [claimed] = await services.webhooks.outbox.claim('app', services.now(), 10, 'token')
    t.equal((await services.webhooks.outbox.claim('app', services.now(), 10, 'other')).length, 0)
    await services.webhooks.outbox.markFailed(claimed!, { nextAttemptAt: null, status: null, error: 'x' }, services.now())
    t.match(await deliver(), { delivered: 1 })
    t.match(await outbox(), [{ type: 'file.ready', delivered_at: null }, { type: 'file.deleted', delivered_at: Number }])
  })

  t.test('a change in this process is told at once, one in another within a moment', async t => {
    const receiver = await startReceiver(t)
    const service = await start(t, `app: ${hook(receiver.url)}`)
    const other = await start(t, `app: ${hook(receiver.url)}`, { env: { DATABASE_URL: service.config.database.url } })
    const delivering = keepDelivering(service.services)
    const file = await service.upload()
    await until(() => receiver.received.length === 1)
    const foreign = await other.upload()
    await until(() => receiver.received.length === 2)
    t.strictSame(receiver.received.map(({ body }) => JSON.parse(body).data.id), [file.id, foreign.id])
    await delivering.stop()
    await service.upload()
    t.equal((await service.outbox()).filter(({ delivered_at: at }) => at === null).length, 1, 'and nothing after the stop')
  })

  t.test('stopping waits for the answer to what is on its way', async t => {
    const receiver = await startReceiver(t)
    let release = (): void => {}
    receiver.answer(response => { release = () => response.writeHead(204).end() })
    const { upload, services, outbox } = await start(t, `app: ${hook(receiver.url)}`)
    const delivering = keepDelivering(services)
    await upload()
    await until(() => receiver.received.length === 1)
    const stopped = delivering.stop()
    release()
    await stopped
    t.match(await outbox(), [{ delivered_at: Number }])
  })

  t.test('an administrator lists deliveries page by page, and replays them under the same id', async t => {
    const receiver = await startReceiver(t)
    const { deliver, call, token, services } = await start(t, `app: ${hook(receiver.url)}\nother: ${hook(receiver.url, 'events: [file.expired]')}`, { env: { JWT_TENANT_CLAIM: 'tenant' } })
    const abort = async (tenant: string) => {
      const ada = await token('ada', { tenant })
      const { file } = (await call('POST', '/uploads', { token: ada, body: { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: 1 } })).json()
      await call('DELETE', `/uploads/${file.id}`, { token: ada })
      return file.id as string
    }
    const [first, second, third] = [await abort('red'), await abort('red'), await abort('red')]
    const foreign = await abort('blue')
    await deliver()
    const root = await token('root', { tenant: 'red', scope: 'files:admin' })
    const list = async (query: string) => (await call('GET', `/webhook-deliveries${query}`, { token: root })).json()
    t.equal((await list('')).data.length, 6)
    t.strictSame((await list('?endpoint=other')).data.map((item: { fileId: string }) => item.fileId), [third, second, first])
    t.strictSame((await list('?status=pending')).data, [])
    t.strictSame((await list(`?fileId=${foreign}`)).data, [])
    t.equal((await list(`?fileId=${first}&endpoint=app&status=delivered`)).data.length, 1)

    const seen: string[] = []
    let query = '?limit=4'
    for (;;) {
      const reply = await call('GET', `/webhook-deliveries${query}`, { token: root })
      const page = reply.json()
      seen.push(...page.data.map((item: { id: string }) => item.id))
      if (page.nextCursor === undefined) break
      t.match(reply.headers.link, /^<\/webhook-deliveries\?limit=4&cursor=[\w-]+>; rel="next"$/)
      query = `?limit=4&cursor=${page.nextCursor}`
      t.equal((await call('GET', `/webhook-deliveries?status=dead&cursor=${page.nextCursor}`, { token: root })).statusCode, 400, 'a cursor fits its listing alone')
    }
    t.equal(new Set(seen).size, 6)
    t.equal(seen.length, 6)

    const before = receiver.received.length
    const reply = await call('POST', `/webhook-deliveries/${seen[0]}/replay`, { token: root })
    t.equal(reply.statusCode, 202)
    t.match(reply.json(), { delivery: { id: seen[0], status: 'pending', attempts: 0, nextAttemptAt: String } })
    t.match(await deliver(), { delivered: 1 })
    t.equal(receiver.received.length, before + 1)
    t.equal(receiver.received.at(-1)?.headers['webhook-id'], seen[0])

    const others = await services.webhooks.outbox.list({ tenant: 'blue', limit: 10 })
    const attempts: ReadonlyArray<[name: string, token: string | undefined, id: string | undefined, status: number]> = [
      ['T11: an administrator of another tenant', await token('root', { tenant: 'blue', scope: 'files:admin' }), seen[0], 404],
      ['T11: a foreign id', root, others[0]?.id, 404],
      ['T11: an unknown id', root, '0b8a4c1e-2f0d-4b7e-9a51-6f2b8f5c1a77', 404],
      ['T12: a user', await token('ada', { tenant: 'red' }), seen[0], 403],
      ['nobody', undefined, seen[0], 401]
    ]
    for (const [name, someone, id, status] of attempts) {
      t.equal((await call('POST', `/webhook-deliveries/${id}/replay`, { token: someone })).statusCode, status, name)
      if (status !== 404) t.equal((await call('GET', '/webhook-deliveries', { token: someone })).statusCode, status, name)
    }
    t.strictSame(await deliver(), { delivered: 0, failed: 0, dead: 0 })
  })

  t.test('T28: no secret and no signature reaches a log, a reply or a body', async t => {
    const receiver = await startReceiver(t)
    receiver.answer((response, { headers }) => { response.writeHead(500).end(JSON.stringify(headers)) })
    const log = new PassThrough().setEncoding('utf8')
    let logged = ''
    log.on('data', chunk => { logged += chunk })
    const { upload, deliver, call, token, create, ada } = await start(t, `app: ${hook(`${receiver.url}?key=hidden`, 'includeKey: true')}\ngone: ${hook('http://127.0.0.1:1/?key=hidden')}`, { logTo: log, env: { LOG_LEVEL: 'trace' } })
    const file = await upload()
    const { file: aborted } = await create()
    await call('DELETE', `/uploads/${aborted.id}`, { token: ada })
    await call('POST', '/downloads', { token: ada, body: { fileId: file.id } })
    t.match(await deliver(), { failed: 4 })
    const listed = (await call('GET', '/webhook-deliveries', { token: await token('root', { scope: 'files:admin' }) })).body
    await until(() => logged.includes('ECONNREFUSED'))
    const signatures = receiver.received.map(({ headers }) => String(headers['webhook-signature']).slice('v1,'.length))
    t.equal(signatures.length, 2)
    for (const [name, text] of [['the log', logged], ['the list', listed], ['the bodies', receiver.received.map(({ body }) => body).join()]] as const) {
      for (const secret of ['whsec_', HOOK_SECRET.slice(6), ...signatures, 'X-Amz-', 'eyJ', 'key=hidden']) t.notOk(text.includes(secret), `${name}: ${secret}`)
    }
  })
}

t.test('the receiver of docs/webhooks.md works as it stands there', async t => {
  const text = readFileSync('docs/webhooks.md', 'utf8')
  const [, code = ''] = /```js\n([\s\S]*?)```/.exec(text) ?? []
  const path = `test/webhooks/receiver-of-docs-${process.pid}.js`
  writeFileSync(path, code)
  t.teardown(() => rmSync(path))
  process.env['WEBHOOK_SECRET'] = HOOK_SECRET
  const { server } = await import(`./receiver-of-docs-${process.pid}.js`) as { server: Server }
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.close() })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const printed: unknown[][] = []
  t.intercept(console, 'log', { value: (...words: unknown[]) => { printed.push(words) } })

  const forwarding = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk)).on('end', async () => {
      const init = { method: 'POST', headers: request.headers as Record<string, string>, body: Buffer.concat(chunks) }
      for (const name of ['connection', 'content-length', 'host']) delete init.headers[name]
      const statuses = [await fetch(url, init), await fetch(url, init), await fetch(url, { ...init, body: `${init.body.toString()} ` })].map(({ status }) => status)
      response.writeHead(statuses.join() === '204,204,401' ? 204 : 500).end()
    })
  })
  await new Promise<void>(resolve => { forwarding.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { forwarding.close() })
  const { upload, deliver } = await startWebhookService(t, s3, { webhooks: `app: ${hook(`http://127.0.0.1:${(forwarding.address() as AddressInfo).port}/`)}` })
  const file = await upload()
  t.match(await deliver(), { delivered: 1 }, 'a good one, a repeat of it, and a forged one')
  t.strictSame(printed, [['file.ready', file.id]], 'and it was handled once')
})

t.test('docs/webhooks.md names what there is', async t => {
  const text = readFileSync('docs/webhooks.md', 'utf8')
  const { FILE_EVENT_TYPES } = await import('../../src/files/file-events.js')
  for (const type of FILE_EVENT_TYPES) t.match(text, `\`${type}\``)
  const { WebhookEntry } = await import('../../src/webhooks/webhook-endpoint.js')
  for (const field of Object.keys(WebhookEntry.properties)) t.match(text, `| \`${field}\` |`)
})
