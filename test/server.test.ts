import { createServer } from 'node:http'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { jwtVerify } from 'jose'
import t, { type Test } from 'tap'
import { loadConfig } from '../src/config.js'
import { sweepUploads } from '../src/jobs/sweep-uploads.js'
import { FINISH_TIMEOUT_MS, startServer } from '../src/server.js'
import { BACKGROUND_TIMEOUT_MS } from '../src/services.js'
import { startS3Proxy } from './faults/fixtures/s3-proxy.js'
import { freePort } from './helpers/free-port.js'
import { interrupt, run, runCli, runNode, type Running } from './helpers/process.js'
import { createTestToken, SECRET, startService, testEnvironment } from './helpers/service.js'
import { startTestS3 } from './helpers/s3.js'
import { until } from './helpers/until.js'

const good = { S3_BUCKET: 'files', S3_ENDPOINT: 'http://127.0.0.1:1', AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', PORT: '0' }

interface Begun { readonly file: { readonly id: string }, readonly upload: { readonly url: string, readonly headers: Record<string, string> } }

async function serve (t: Test, env: Record<string, string> = {}): Promise<Running & { readonly url: string }> {
  const running = runCli(t, ['serve'], { ...await testEnvironment(t), ...good, ...env })
  const [, url = ''] = await running.output(/"listening":"([^"]+)","msg":"presignd is ready"/)
  return { ...running, url }
}

t.test('presignd serve answers, and says in its log where', async t => {
  const { url, stdout } = await serve(t)
  t.equal((await fetch(`${url}/livez`)).status, 200)
  t.equal((await fetch(`${url}/readyz`)).status, 200)
  t.ok(stdout().split('\n').filter(line => line !== '').every(line => JSON.parse(line)), 'every line is JSON')
})

t.test('a store that does not answer stops no start, and is told before the first upload needs it', async t => {
  const { url, output } = await serve(t)
  t.equal((await fetch(`${url}/livez`)).status, 200)
  t.ok(await output(/"level":40.*the bucket does not answer: check S3_ENDPOINT/))
})

t.test('T34: a Redis that is not there stops neither the start nor a request', async t => {
  const { url, output } = await serve(t, { REDIS_URL: 'redis://127.0.0.1:1' })
  t.equal((await fetch(`${url}/policies`, { headers: { authorization: `Bearer ${await createTestToken('ada')}` } })).status, 200)
  t.ok(await output(/Redis/), 'the log tells')
})

t.test('T28: a Redis that refuses the password does not get it into the log', async t => {
  const refusing = createTcpServer(socket => socket.on('error', () => {}).on('data', () => socket.write('-WRONGPASS invalid username-password pair or user is disabled.\r\n')))
  await new Promise<void>(resolve => { refusing.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { refusing.close() })
  const { output, stdout } = await serve(t, { REDIS_URL: `redis://:hunter2@127.0.0.1:${(refusing.address() as AddressInfo).port}` })
  t.ok(await output(/WRONGPASS/), 'the log tells')
  t.notMatch(stdout(), /hunter2/)
})

t.test('F32: SIGTERM under load drops no request', async t => {
  const running = await serve(t, { SHUTDOWN_DRAIN_SECONDS: '3' })
  const headers = { authorization: `Bearer ${await createTestToken('ada')}`, 'content-type': 'application/json' }
  const body = JSON.stringify({ policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: 10 })
  const answers = { count: 0 }
  let closedByServer = 0
  let isDown = false
  const failures: unknown[] = []
  let signalledAt = 0
  async function client (): Promise<void> {
    while (!isDown) {
      try {
        const reply = await fetch(`${running.url}/uploads`, { method: 'POST', headers, body })
        if (reply.headers.get('connection') === 'close') closedByServer++
        await reply.arrayBuffer()
        if (reply.status === 201) answers.count++
        else failures.push(reply.status)
      } catch (error) {
        // A load balancer that has seen /readyz fail sends nothing any more: only then may a connection be refused.
        if (signalledAt === 0 || Date.now() - signalledAt < 2900) failures.push(error)
        isDown = true
      }
    }
  }
  const clients = Array.from({ length: 8 }, client)
  while (answers.count < 50) await new Promise(resolve => setImmediate(resolve))
  signalledAt = Date.now()
  running.child.kill('SIGTERM')
  let ready
  do ready = await fetch(`${running.url}/readyz`)
  while (ready.status === 200)
  t.match(await ready.json(), { code: 'NOT_READY' })
  t.ok(Date.now() - signalledAt < 2900, '/readyz fails before the drain ends')
  t.equal(await running.ended, 0)
  t.ok(Date.now() - signalledAt < 25_000)
  await Promise.all(clients)
  t.strictSame(failures, [])
  t.ok(closedByServer > 0, 'replies during the drain close their connection')
})

t.test('a second signal ends it at once', async t => {
  const running = await serve(t, { SHUTDOWN_DRAIN_SECONDS: '60' })
  running.child.kill('SIGTERM')
  await running.output(/"msg":"closing"/)
  running.child.kill('SIGTERM')
  t.equal(await running.ended, 1)
})

const refused: ReadonlyArray<[name: string, env: Record<string, string | undefined>, line: RegExp]> = [
  ['T41: a short secret', { JWT_SECRET: 'short' }, /^presignd: JWT_SECRET must be at least 32 bytes/],
  ['T41: every origin', { CORS_ORIGINS: '*' }, /^presignd: CORS_ORIGINS must list origins/],
  ['no policies', { POLICIES_FILE: '/no/such/file' }, /^presignd: POLICIES_FILE: ENOENT/],
  ['a database that is not there', { DATABASE_URL: 'postgres://a@127.0.0.1:1/b' }, /^presignd: .*ECONNREFUSED/],
  ['a database that lacks migrations', { DATABASE_MIGRATE: 'false' }, /^presignd: The database lacks migrations: run "presignd migrate"/]
]
for (const [name, env, line] of refused) {
  t.test(`${name} stops the start with one line`, async t => {
    const running = runCli(t, ['serve'], { ...await testEnvironment(t), ...good, ...env })
    t.equal(await running.ended, 1)
    t.match(running.stderr(), line)
    t.equal(running.stderr().trim().split('\n').length, 1, 'no stack')
  })
}

t.test('a taken port says which and what to do', async t => {
  const other = createServer()
  await new Promise<void>(resolve => { other.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { other.close() })
  const { port } = other.address() as AddressInfo
  const running = runCli(t, ['serve'], { ...await testEnvironment(t), ...good, PORT: String(port) })
  t.equal(await running.ended, 1)
  t.equal(running.stderr(), `presignd: port ${port} is taken: choose another with PORT\n`)
  const scraped = runCli(t, ['serve'], { ...await testEnvironment(t), ...good, METRICS_PORT: String(port) })
  t.equal(await scraped.ended, 1)
  t.match(scraped.stderr(), new RegExp(`^presignd: METRICS_PORT: port ${port} is taken, choose another$`, 'm'))
})

t.test('T41 F45: a second process on one SQLite file is refused, and may follow the first, however that ended', async t => {
  const env = { ...await testEnvironment(t), ...good }
  const start = () => runCli(t, ['serve'], env)
  const first = start()
  await first.output(/presignd is ready/)
  const second = start()
  t.equal(await second.ended, 1)
  t.match(second.stderr(), /^presignd: DATABASE_URL: another process serves this SQLite file already.*\n$/)
  first.child.kill('SIGKILL')
  await first.ended
  const third = start()
  await third.output(/presignd is ready/)
  third.child.kill('SIGTERM')
  t.equal(await third.ended, 0)
})

t.test('presignd migrate says what it did, once', async t => {
  const env = { ...await testEnvironment(t), ...good }
  for (const line of [/^migrated: 0001-files/, /^nothing to migrate$/m]) {
    const running = runCli(t, ['migrate'], env)
    t.equal(await running.ended, 0)
    t.match(running.stdout(), line)
  }
})

t.test('presignd token prints a token and only that', async t => {
  const env = { ...await testEnvironment(t), ...good }
  const running = runCli(t, ['token', '--sub', 'ada', '--scope', 'a b', '--expires-in', '60'], env)
  t.equal(await running.ended, 0)
  t.match(running.stdout(), /^[\w-]+\.[\w-]+\.[\w-]+\n$/)
  const { payload } = await jwtVerify(running.stdout().trim(), new TextEncoder().encode(SECRET), { audience: 'presignd-test' })
  t.match(payload, { sub: 'ada', scope: 'a b' })
  t.equal(Number(payload.exp) - Number(payload.iat), 60)
  for (const args of [['--scope', 'a'], ['--sub', 'a', '--expires-in', '0'], ['--sub', 'a', '--nope'], ['--sub', '']]) {
    const bad = runCli(t, ['token', ...args], env)
    t.equal(await bad.ended, 1, args.join(' '))
    t.equal(bad.stdout(), '')
  }
})

t.test('a command without arguments does nothing when it gets some', async t => {
  const env = { ...await testEnvironment(t), ...good }
  for (const args of [['sweep', '--dry-run'], ['migrate', 'now'], ['serve', '--port', '1'], ['iam', 'x'], ['webhooks', 'deliver', 'now']]) {
    const running = runCli(t, args, env)
    t.equal(await running.ended, 1, args.join(' '))
    t.match(running.stderr(), args[0] === 'webhooks' ? 'presignd: usage:' : `presignd: ${args[0]} takes no arguments, and got ${args.slice(1).join(' ')}\n`)
    t.equal(running.stdout(), '')
  }
  const running = runCli(t, ['migrate', '--help'], env)
  t.equal(await running.ended, 0)
  t.match(running.stderr(), /Usage: presignd/)
  t.equal(running.stdout(), '', 'and nothing is migrated')
})

t.test('what keeps the service from starting is told by its variable', async t => {
  for (const [env, line] of [
    [{ DATABASE_URL: 'postgres://127.0.0.1:1/files', DATABASE_MIGRATE: 'false' }, /^presignd: The database of DATABASE_URL does not answer: .*ECONNREFUSED/],
    [{ DATABASE_URL: 'postgres://127.0.0.1:1/files' }, /^presignd: The database of DATABASE_URL could not be migrated: .*ECONNREFUSED/],
    [{ HOST: '203.0.113.9' }, /^presignd: 203\.0\.113\.9 is no address of this machine: choose another with HOST\n$/],
    [{ HOST: 'nowhere.invalid' }, /^presignd: nowhere\.invalid is no address of this machine: choose another with HOST\n$/]
  ] as const) {
    const running = runCli(t, ['serve'], { ...await testEnvironment(t), ...good, ...env })
    t.equal(await running.ended, 1)
    t.match(running.stderr(), line)
  }
})

t.test('an unknown command shows the usage', async t => {
  const running = runCli(t, ['what'])
  t.equal(await running.ended, 2)
  t.match(running.stderr(), /Usage: presignd/)
})

t.test('development mode', async t => {
  const { DATA_DIR } = { DATA_DIR: t.testdir() }
  const [port, storePort, otherPort] = (await Promise.all([freePort(), freePort(), freePort()])).map(String) as [string, string, string]
  const env = { PORT: port, DEV_S3_PORT: storePort, DATA_DIR }
  const start = async () => {
    const running = run(t, 'npm', ['run', 'dev'], env)
    await running.output(/curl -fsSL/)
    return running
  }

  const first = await start()
  const token = /^TOKEN=(\S+)$/m.exec(first.stdout())?.[1] ?? ''
  const api = async (path: string, init: RequestInit = {}) => await fetch(`http://127.0.0.1:${port}${path}`, { ...init, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' } })

  await t.test('prints one banner with the page, the store and three curl lines', async t => {
    t.match(first.stdout(), `http://127.0.0.1:${port}\n`)
    t.match(first.stdout(), `http://127.0.0.1:${storePort}`)
    t.equal(first.stdout().match(/^curl /gm)?.length, 3)
    t.notMatch(first.stdout().split('presignd is running')[0], /^\{/m, 'the log begins below it')
    t.equal(first.stderr(), '')
  })

  await t.test('npm run token prints a token for the same secret', async t => {
    const running = run(t, 'npm', ['run', '--silent', 'token', '--', '--sub', 'ada'], env)
    t.equal(await running.ended, 0)
    t.match(running.stdout(), /^[\w-]+\.[\w-]+\.[\w-]+\n$/)
    t.equal((await fetch(`http://127.0.0.1:${port}/files`, { headers: { authorization: `Bearer ${running.stdout().trim()}` } })).status, 200)
  })

  await t.test('a taken port says which and how to choose another', async t => {
    for (const [more, line] of [
      [{ DEV_S3_PORT: otherPort }, `presignd: port ${port} is taken: choose another with PORT\n`],
      [{ PORT: otherPort }, `presignd: port ${storePort} is taken: choose another with DEV_S3_PORT\n`]
    ] as const) {
      const second = run(t, 'npm', ['run', '--silent', 'dev'], { ...env, ...more })
      t.equal(await second.ended, 1)
      t.equal(second.stderr(), line)
    }
  })

  const body = JSON.stringify({ policy: 'documents', filename: 'a.txt', contentType: 'text/plain', sizeBytes: 5 })
  const { file, upload } = await (await api('/uploads', { method: 'POST', body })).json() as Begun
  await fetch(upload.url, { method: 'PUT', headers: upload.headers, body: 'hello' })
  t.equal((await api(`/uploads/${file.id}/complete`, { method: 'POST', body: '{}' })).status, 200)
  const began = Date.now()
  interrupt(first)
  await first.ended
  t.ok(Date.now() - began < 5000, 'Ctrl-C ends it sooner than the drain of production alone')

  await start()
  t.equal(await (await fetch((await api(`/downloads/${file.id}`, { redirect: 'manual' })).headers.get('location') ?? '')).text(), 'hello', 'a second start finds the files again, and old tokens work')
})

t.test('development mode refuses to run in production', async t => {
  const running = runNode(t, ['src/dev/main.ts'], { NODE_ENV: 'production', DATA_DIR: t.testdir() })
  t.equal(await running.ended, 1)
  t.match(running.stderr(), /^presignd: development mode does not run with NODE_ENV=production: use npm start\n$/)
})

t.test('a store that is there is used: the compiled order of things, end to end', async t => {
  const s3 = await startTestS3(t)
  const bucket = await s3.createBucket()
  const { url } = await serve(t, { S3_BUCKET: bucket, S3_ENDPOINT: s3.endpoint, AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey })
  const headers = { authorization: `Bearer ${await createTestToken('ada')}`, 'content-type': 'application/json' }
  const { file, upload } = await (await fetch(`${url}/uploads`, { method: 'POST', headers, body: JSON.stringify({ policy: 'notes', filename: 'a.txt', contentType: 'text/plain', sizeBytes: 5 }) })).json() as Begun
  t.equal((await fetch(upload.url, { method: 'PUT', headers: upload.headers, body: 'hello' })).status, 200)
  t.equal((await fetch(`${url}/uploads/${file.id}/complete`, { method: 'POST', headers, body: '{}' })).status, 200)
  t.equal(await (await fetch(`${url}/downloads/${file.id}`, { headers: { authorization: headers.authorization } })).text(), 'hello')
})

t.test('a sweep that waits for the store for minutes keeps no process from ending, and its upload is taken up by the next one', async t => {
  const s3 = await startTestS3(t)
  const proxy = await startS3Proxy(t, s3.endpoint)
  const bucket = await s3.createBucket()
  process.env['AWS_ACCESS_KEY_ID'] = s3.credentials.accessKeyId
  process.env['AWS_SECRET_ACCESS_KEY'] = s3.credentials.secretAccessKey
  const env = { ...await testEnvironment(t), S3_BUCKET: bucket, S3_ENDPOINT: s3.endpoint, S3_REGION: s3.region }
  const server = await startServer(loadConfig({ ...env, S3_ENDPOINT: proxy.endpoint, S3_PUBLIC_ENDPOINT: s3.endpoint, HOST: '127.0.0.1', PORT: '0', SWEEP_INTERVAL_SECONDS: '1', LOG_LEVEL: 'silent' }))
  const headers = { authorization: `Bearer ${await createTestToken('ada')}`, 'content-type': 'application/json' }
  const body = JSON.stringify({ policy: 'parts', filename: 'a.png', contentType: 'image/png', sizeBytes: 5, method: 'multipart' })
  const { file, upload: { parts: [part] } } = await (await fetch(`${server.url}/uploads`, { method: 'POST', headers, body })).json() as { file: Begun['file'], upload: { parts: [Begun['upload']] } }
  t.equal((await fetch(part.url, { method: 'PUT', headers: part.headers, body: 'hello' })).status, 200)

  proxy.rule = ({ operation }) => operation === 'CompleteMultipartUpload' ? { kind: 'hang' } : undefined
  await server.services.database.updateTable('files').set({ next_check_at: 0 }).where('id', '=', file.id).execute()
  await until(() => proxy.count('CompleteMultipartUpload') > 0)
  const began = Date.now()
  await server.close()
  t.ok(Date.now() - began < BACKGROUND_TIMEOUT_MS + FINISH_TIMEOUT_MS, `${Date.now() - began} ms`)

  const next = await startService(t, s3, { env, adapt: services => ({ ...services, now: () => new Date(Date.now() + 61_000) }) })
  t.match(await sweepUploads(next.services), { ready: 1 })
})
