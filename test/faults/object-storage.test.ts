import { Writable } from 'node:stream'
import t, { type Test } from 'tap'
import { sweepUploads } from '../../src/jobs/sweep-uploads.js'
import { sendForm } from '../helpers/form.js'
import { png } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { ENGINES, startService, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { findViolations } from './fixtures/invariants.js'
import { startS3Proxy, type Fault, type ProxiedRequest } from './fixtures/s3-proxy.js'

const s3 = await startTestS3(t)
const picture = png()
const DAY = 24 * 3_600_000

type Road = 'PUT' | 'POST' | 'multipart'
const BODIES: Readonly<Record<Road, object>> = {
  PUT: { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length },
  POST: { policy: 'forms', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length },
  multipart: { policy: 'parts', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length, method: 'multipart' }
}

for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  async function start (t: Test, log?: { write (line: string): void }) {
    let offset = 0
    const proxy = await startS3Proxy(t, s3.endpoint)
    const service = await startService(t, s3, {
      engine,
      ...(log && { logTo: new Writable({ write (chunk, _, done) { log.write(String(chunk)); done() } }) }),
      env: { S3_ENDPOINT: proxy.endpoint, S3_PUBLIC_ENDPOINT: s3.endpoint },
      adapt: services => ({ ...services, now: () => new Date(Date.now() + offset) })
    })
    const ada = await service.token('ada')
    const { call, services, bucket } = service
    return {
      ...service,
      proxy,
      ada,
      create: async (road: Road) => await call('POST', '/uploads', { token: ada, body: BODIES[road] }),
      complete: async (id: string) => await call('POST', `/uploads/${id}/complete`, { token: ada }),
      status: async (id: string) => (await services.database.selectFrom('files').select('status').where('id', '=', id).executeTakeFirstOrThrow()).status,
      after: (milliseconds: number) => { offset += milliseconds },
      violations: async (isAtRest = false) => await findViolations({ database: services.database, client: s3.client, buckets: [bucket], isAtRest })
    }
  }

  async function sendBytes (road: Road, upload: { parts: Array<{ url: string, headers: Record<string, string> }> } & Parameters<typeof send>[0] & Parameters<typeof sendForm>[0]): Promise<void> {
    if (road === 'POST') await sendForm(upload, picture)
    else if (road === 'PUT') await send(upload, picture)
    else await send({ method: 'PUT', ...upload.parts[0]! }, picture)
  }

  /** Which requests a complete of each road sends, and the road itself. */
  const steps: ReadonlyArray<[road: Road, operation: string]> = [
    ['PUT', 'HeadObject'], ['PUT', 'GetObject'],
    ['POST', 'HeadObject'], ['POST', 'CopyObject'], ['POST', 'GetObject'], ['POST', 'DeleteObject'],
    ['multipart', 'ListParts'], ['multipart', 'CompleteMultipartUpload'], ['multipart', 'HeadObject']
  ]
  const errorBody = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>InternalError</Code><Message>We encountered an internal error. Please try again.</Message></Error>'
  const faults: ReadonlyArray<[id: string, name: string, fault: Fault]> = [
    ['F12', 'the answer is lost', { kind: 'lose the answer' }],
    ['F12', 'the answer breaks off', { kind: 'truncate' }],
    ['F14', 'the store says 500', { kind: 'answer', status: 500, body: errorBody }],
    ['F14', 'the store says SlowDown', { kind: 'answer', status: 503, body: '<Error><Code>SlowDown</Code></Error>' }],
    ['F15', 'the connection breaks', { kind: 'refuse' }],
    ['F16', 'the store says 403 instead of 404', { kind: 'answer', status: 403, body: '<Error><Code>AccessDenied</Code></Error>' }],
    ['F38', 'the credentials are revoked', { kind: 'answer', status: 403, body: '<Error><Code>InvalidAccessKeyId</Code></Error>' }]
  ]

  for (const [id, name, fault] of faults) {
    t.test(`${id}: ${name}, at any step of any complete: nothing is decided wrongly, and once it heals the file is ready`, async t => {
      await Promise.all(steps.map(async ([road, operation]) => await survives(t, road, operation, fault)))
    })
  }

  for (const code of ['BadDigest', 'XAmzContentChecksumMismatch']) {
    for (const completer of ['the client', 'the sweeper']) {
      t.test(`I9: ${code} of parts with a declared checksum rejects them, also when ${completer} alone completes`, async t => {
        const { call, ada, complete, proxy, status, after, services, violations } = await start(t)
        const { file, upload } = (await call('POST', '/uploads', { token: ada, body: { ...BODIES.multipart, checksumCrc32: 'AAAAAA==' } })).json()
        await sendBytes('multipart', upload)
        proxy.rule = request => request.operation === 'CompleteMultipartUpload' ? { kind: 'answer', status: 400, body: `<Error><Code>${code}</Code></Error>` } : undefined
        if (completer === 'the client') t.match((await complete(file.id)).json(), { status: 422, code: 'OBJECT_MISMATCH' })
        after(61_000)
        await sweepUploads(services)
        t.equal(await status(file.id), 'rejected')
        t.strictSame((await services.files.usageOf('', 'ada')).get('parts'), { files: 0, bytes: 0, pending: 0 }, 'nothing is held')
        t.match((await complete(file.id)).json(), { status: 422, code: 'OBJECT_MISMATCH' })
        after(2 * DAY)
        await sweepUploads(services)
        t.strictSame(await violations(true), [])
      })
    }
  }

  t.test('I9: BadDigest of parts without a checksum is a fault of the store', async t => {
    await survives(t, 'multipart', 'CompleteMultipartUpload', { kind: 'answer', status: 400, body: '<Error><Code>BadDigest</Code></Error>' })
  })

  /** As Google Cloud Storage answers: for those who may read it by a signature alone, and for everyone. */
  for (const rule of ['private, max-age=0', 'public, max-age=3600']) {
    t.test(`I9: a store that adds "${rule}" to its replies has nothing rejected for it, where its profile says so`, async t => {
      const proxy = await startS3Proxy(t, s3.endpoint)
      proxy.rule = ({ operation }) => operation === 'HeadObject' || operation === 'GetObject' ? { kind: 'rewrite', headers: { 'cache-control': rule, expires: new Date().toUTCString() } } : undefined
      for (const [provider, status] of [['gcs', 200], ['generic', 422]] as const) {
        const { call, token } = await startService(t, s3, { engine, env: { S3_ENDPOINT: proxy.endpoint, S3_PUBLIC_ENDPOINT: s3.endpoint, S3_PROVIDER: provider, S3_POST_POLICIES: 'true' } })
        const ada = await token('ada')
        for (const road of ['PUT', 'POST', 'multipart'] as const) {
          const { file, upload } = (await call('POST', '/uploads', { token: ada, body: BODIES[road] })).json()
          await sendBytes(road, upload)
          const reply = await call('POST', `/uploads/${file.id}/complete`, { token: ada })
          t.equal(reply.statusCode, status, `${provider} ${road}: ${reply.body}`)
        }
      }
    })
  }

  t.test('F14: a HEAD without a length or an ETag is no finding: nothing is rejected', async t => {
    for (const header of ['content-length', 'etag']) await survives(t, 'PUT', 'HeadObject', { kind: 'rewrite', headers: { [header]: undefined } })
  })

  /** Completes with one operation at fault, heals, and looks at what became of the upload. */
  async function survives (t: Test, road: Road, operation: string, fault: Fault): Promise<void> {
    const { create, complete, proxy, status, after, services, violations } = await start(t)
    const { file, upload } = (await create(road)).json()
    await sendBytes(road, upload)
    proxy.rule = request => request.operation === operation ? fault : undefined
    const reply = await complete(file.id)
    const label = `${road} ${operation}: ${reply.statusCode} ${reply.body}`
    t.ok([200, 409, 502].includes(reply.statusCode), label)
    t.ok(['pending', 'ready'].includes(await status(file.id)), label)
    if (reply.statusCode === 502) {
      t.match(reply.headers['retry-after'], /^\d+$/, label)
      t.notMatch(reply.body, /Amazon|<Error|AccessDenied|InvalidAccessKeyId/, label)
    }
    t.ok(proxy.count(operation) > 0, `${label}: it was hit`)
    proxy.rule = () => undefined
    after(61_000)
    await sweepUploads(services)
    t.equal(await status(file.id), 'ready', label)
    t.equal((await complete(file.id)).statusCode, 200, label)
    after(2 * DAY)
    await sweepUploads(services)
    t.strictSame(await violations(true), [], label)
  }

  t.test('F12: the store completed a multipart upload and its answer was lost, once: the same call goes on to ready', async t => {
    const { create, complete, proxy } = await start(t)
    const { file, upload } = (await create('multipart')).json()
    await sendBytes('multipart', upload)
    proxy.rule = once('CompleteMultipartUpload', { kind: 'lose the answer' })
    const reply = await complete(file.id)
    t.equal(reply.statusCode, 200, reply.body)
    t.ok(proxy.count('CompleteMultipartUpload') >= 1)
  })

  t.test('F12: a client that resumes what the store has completed already, since the look at it failed, sends no part again', async t => {
    const { create, complete, call, ada, proxy, services, violations } = await start(t)
    const { file, upload } = (await create('multipart')).json()
    await sendBytes('multipart', upload)
    proxy.rule = ({ operation }) => operation === 'HeadObject' ? { kind: 'answer', status: 503, body: errorBody } : undefined
    t.equal((await complete(file.id)).statusCode, 502)
    const resume = async () => await call('GET', `/uploads/${file.id}`, { token: ada })
    t.equal((await resume()).statusCode, 502, 'while nothing can be known, nothing is begun anew')
    proxy.rule = () => undefined
    t.match((await resume()).json(), { file: { status: 'pending' }, upload: { parts: [], uploadedParts: [{ partNumber: 1, sizeBytes: picture.length }] } })
    t.strictSame((await call('POST', `/uploads/${file.id}/parts`, { token: ada, body: {} })).json().parts, [])
    t.equal(proxy.count('CreateMultipartUpload'), 1)
    t.match((await complete(file.id)).json(), { file: { status: 'ready' } })
    t.equal((await services.files.find(file.id, { tenant: '', owner: 'ada' }))?.status, 'ready')
    t.strictSame(await violations(), [])
  })

  for (const [road, operation] of [['multipart', 'CompleteMultipartUpload'], ['POST', 'CopyObject']] as const) {
    t.test(`F13: 200 with an error inside on ${operation} is no success: it is tried again, and the object is there once`, async t => {
      const { create, complete, proxy, violations } = await start(t)
      const { file, upload } = (await create(road)).json()
      await sendBytes(road, upload)
      proxy.rule = once(operation, { kind: 'answer', status: 200, body: errorBody })
      const reply = await complete(file.id)
      t.equal(reply.statusCode, 200, reply.body)
      t.ok(proxy.count(operation) >= 2)
      t.strictSame(await violations(), [])
    })
  }

  for (const [road, operation] of steps.filter(([, operation]) => ['HeadObject', 'GetObject', 'ListParts'].includes(operation))) {
    t.test(`F14: two faults of ${operation} and then an answer is an answer (${road})`, async t => {
      const { create, complete, proxy } = await start(t)
      const { file, upload } = (await create(road)).json()
      await sendBytes(road, upload)
      let left = 2
      proxy.rule = request => request.operation === operation && left-- > 0 ? { kind: 'answer', status: 503, body: '<Error><Code>SlowDown</Code></Error>' } : undefined
      t.equal((await complete(file.id)).statusCode, 200)
    })
  }

  t.test('F15: a store that never answers: URLs are still signed, multipart and complete say 502 within ten seconds, health answers, and it recovers by itself', async t => {
    const { create, complete, call, proxy, after, services, violations } = await start(t)
    const { file, upload } = (await create('PUT')).json()
    await sendBytes('PUT', upload)
    proxy.rule = () => ({ kind: 'hang' })
    const limits = t.capture(AbortSignal, 'timeout', AbortSignal.timeout)
    const [single, form, parts, completed, alive, ready] = await Promise.all([create('PUT'), create('POST'), create('multipart'), complete(file.id), call('GET', '/livez'), call('GET', '/readyz')])
    t.ok(limits().every(({ args: [milliseconds] }) => milliseconds <= 10_000))
    t.strictSame([single, form, parts, completed, alive, ready].map(({ statusCode }) => statusCode), [201, 201, 502, 502, 200, 200])
    t.equal(ready.json().detail.bucket, 'unreachable')
    proxy.rule = () => undefined
    t.equal((await create('multipart')).statusCode, 201)
    after(61_000)
    t.match(await sweepUploads(services), { ready: 1 })
    t.strictSame(await violations(), [])
  })

  t.test('F16: a store that answers 403 for what is missing gives nothing up, however late; a 404 after the deadline does', async t => {
    const { create, complete, proxy, status, after, services } = await start(t)
    const { file } = (await create('PUT')).json()
    proxy.rule = request => request.operation === 'HeadObject' ? { kind: 'rewrite', status: 403, body: '' } : undefined
    t.equal((await complete(file.id)).statusCode, 502)
    after(DAY)
    await sweepUploads(services)
    t.equal(await status(file.id), 'pending')
    proxy.rule = () => undefined
    after(DAY)
    await sweepUploads(services)
    t.equal(await status(file.id), 'expired')
  })

  t.test('F19: a slow PUT that ends after the file was given up is deleted, and the file stays expired', async t => {
    const { create, proxy, status, after, services, violations } = await start(t)
    const { file, upload } = (await create('PUT')).json()
    const gate = newGate()
    proxy.rule = request => request.operation === 'PutObject' ? { kind: 'wait', until: gate.opened } : undefined
    // The client's own way goes through the proxy here: its request is accepted now and ends later.
    const slow = send({ ...upload, url: upload.url.replace(s3.endpoint, proxy.endpoint), headers: { ...upload.headers, host: new URL(s3.endpoint).host } }, picture)
    after(16 * 60_000)
    t.match(await sweepUploads(services), { expired: 1 })
    gate.open()
    t.equal((await slow).status, 200)
    t.not(await services.objectStorage.headObject({ bucket: file.bucket, key: file.key }), null)
    after(DAY)
    await sweepUploads(services)
    t.equal(await services.objectStorage.headObject({ bucket: file.bucket, key: file.key }), null)
    t.equal(await status(file.id), 'expired')
    after(DAY)
    await sweepUploads(services)
    t.strictSame(await violations(true), [])
  })

  t.test('F20: a part that lands during an abort leaves nothing', async t => {
    const { create, call, ada, proxy, after, services, violations } = await start(t)
    const { file, upload } = (await create('multipart')).json()
    const gate = newGate()
    proxy.rule = request => request.operation === 'UploadPart' ? { kind: 'wait', until: gate.opened } : undefined
    const [part] = upload.parts
    const slow = send({ method: 'PUT', url: part.url.replace(s3.endpoint, proxy.endpoint), headers: { ...part.headers, host: new URL(s3.endpoint).host } }, picture)
    t.equal((await call('DELETE', `/uploads/${file.id}`, { token: ada })).statusCode, 204)
    gate.open()
    await slow
    after(2 * DAY)
    await sweepUploads(services)
    t.strictSame(await violations(true), [])
  })

  t.test('F36: no URL is signed while the clock is off by more than five minutes, either way; and again once it is right', async t => {
    for (const minutes of [-20, 20]) {
      const { create, services, bucket, proxy } = await start(t)
      proxy.rule = () => ({ kind: 'rewrite', headers: { date: new Date(Date.now() + minutes * 60_000).toUTCString() } })
      await services.objectStorage.isReachable(bucket)
      for (const road of ['PUT', 'POST'] as const) {
        const refused = await create(road)
        t.match(refused.json(), { status: 503, code: 'CLOCK_SKEW' })
        t.match(refused.headers['retry-after'], /^\d+$/)
      }
      t.strictSame((await services.files.usageOf('', 'ada')).get('pictures'), { files: 0, bytes: 0, pending: 0 }, 'nothing is held')
      proxy.rule = () => undefined
      await services.objectStorage.isReachable(bucket)
      t.equal((await create('PUT')).statusCode, 201, 'any answer of the store shows that it is right again')
    }
  })

  t.test('F36: a clock that is off by two minutes is told once and goes on', async t => {
    const logged: Array<{ level: number, msg: string, seconds?: number }> = []
    const { create, complete, proxy } = await start(t, { write: line => logged.push(JSON.parse(line)) })
    proxy.rule = () => ({ kind: 'rewrite', headers: { date: new Date(Date.now() - 120_000).toUTCString() } })
    for (let round = 0; round < 2; round++) {
      const { file, upload } = (await create('PUT')).json()
      await sendBytes('PUT', upload)
      t.equal((await complete(file.id)).statusCode, 200)
    }
    const warnings = logged.filter(({ msg }) => msg.includes('clock'))
    t.match(warnings, [{ level: 40, seconds: Number }])
    t.ok(Math.abs((warnings[0]?.seconds ?? 0) - 120) < 10)
  })
}

function once (operation: string, fault: Fault): (request: ProxiedRequest) => Fault | undefined {
  let isDone = false
  return request => {
    if (isDone || request.operation !== operation) return undefined
    isDone = true
    return fault
  }
}

function newGate (): { readonly opened: Promise<void>, readonly open: () => void } {
  let open = (): void => {}
  const opened = new Promise<void>(resolve => { open = resolve })
  return { opened, open: () => open() }
}
