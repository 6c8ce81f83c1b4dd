import { readFileSync } from 'node:fs'
import { connect, type AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { ApiError, errors, type ErrorCode } from '../../src/errors.js'
import { png } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { ENGINES, startService, type ServiceOptions, type TestService } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { until } from '../helpers/until.js'

const s3 = await startTestS3(t)
const start = async (t: Test, options: ServiceOptions = {}) => await startService(t, s3, options)
const pictureBody = { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: 10 }

/** Sends bytes as they are and reads until the server closes. */
async function raw (service: TestService, bytes: string): Promise<string> {
  const { port } = service.app.server.address() as AddressInfo
  return await new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    let reply = ''
    socket.setEncoding('utf8').on('data', chunk => { reply += chunk }).on('close', () => resolve(reply)).on('error', reject)
  })
}

t.test('the type of every problem leads to what is to be done about it, without a token', async t => {
  const service = await start(t)
  const { type } = (await service.call('GET', '/files')).json<{ type: string }>()
  const { pathname, hash } = new URL(type, 'https://files.example.com/any/address')
  t.equal(hash, '#UNAUTHENTICATED')
  const page = await service.call('GET', pathname)
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-type'], /^text\/html\b/)
  const sections = page.body.split('<h2 id="').slice(1)
  t.same(sections.map(section => section.split('"')[0]), Object.keys(errors))
  for (const section of sections) t.match(section, /^(\w+)">\1<\/h2>\n<p>\d{3}: .+<\/p>\n<p>.+<\/p>/)
})

t.test('every error is a problem of RFC 9457', async t => {
  const service = await start(t)
  await service.app.listen({ port: 0, host: '127.0.0.1' })
  const ada = await service.token('ada')
  const post = async (headers: Record<string, string>, payload: string) => await service.app.inject({ method: 'POST', url: '/uploads', headers: { authorization: `Bearer ${ada}`, ...headers }, payload })

  function check (t: Test, { status, type, body }: { status: number, type: unknown, body: string }, code: ErrorCode): void {
    t.equal(type, 'application/problem+json')
    const problem = JSON.parse(body)
    t.strictSame({ code: problem.code, status: problem.status, title: problem.title, type: problem.type }, { code, status: errors[code].status, title: errors[code].title, type: `/errors#${code}` })
    t.equal(status, errors[code].status, 'the status line does not disagree with the body')
    t.match(problem, { detail: /\w/, requestId: /^[\w-]+$/ })
  }

  const requests: ReadonlyArray<[name: string, code: ErrorCode, reply: () => ReturnType<typeof post>]> = [
    ['an unknown address', 'NOT_FOUND', async () => await service.call('GET', '/nope')],
    ['an unknown address below a known one', 'NOT_FOUND', async () => await service.call('GET', '/files/a/b')],
    ['a method that the address does not have', 'NOT_FOUND', async () => await service.call('DELETE', '/files')],
    ['an address that is not a URL', 'INVALID_REQUEST', async () => await service.call('GET', '/files/%zz')],
    ['an id with a zero byte', 'INVALID_REQUEST', async () => await service.call('GET', '/files/a%00b', { token: ada })],
    ['an endless id', 'NOT_FOUND', async () => await service.call('GET', `/files/${'a'.repeat(2000)}`, { token: ada })],
    ['no token', 'UNAUTHENTICATED', async () => await service.call('GET', '/files')],
    ['malformed JSON', 'INVALID_REQUEST', async () => await post({ 'content-type': 'application/json' }, '{"a":')],
    ['a body that is too large', 'BODY_TOO_LARGE', async () => await post({ 'content-type': 'application/json' }, JSON.stringify({ a: 'x'.repeat(65_536) }))],
    ['a missing body', 'INVALID_REQUEST', async () => await post({}, '')],
    ['T35: text', 'UNSUPPORTED_MEDIA_TYPE', async () => await post({ 'content-type': 'text/plain' }, JSON.stringify(pictureBody))],
    ['T35: a form', 'UNSUPPORTED_MEDIA_TYPE', async () => await post({ 'content-type': 'application/x-www-form-urlencoded' }, 'a=b')],
    ['T35: a multipart form', 'UNSUPPORTED_MEDIA_TYPE', async () => await post({ 'content-type': 'multipart/form-data; boundary=x' }, '--x--')],
    ['T35: a tab behind the type', 'UNSUPPORTED_MEDIA_TYPE', async () => await post({ 'content-type': 'application/json\ta' }, JSON.stringify(pictureBody))],
    ['T35: a space and more behind the type', 'UNSUPPORTED_MEDIA_TYPE', async () => await post({ 'content-type': 'application/json x' }, JSON.stringify(pictureBody))],
    ['T35: no type', 'UNSUPPORTED_MEDIA_TYPE', async () => await post({ 'content-type': '' }, JSON.stringify(pictureBody))],
    ['T35: a space before the type does not skip validation', 'INVALID_REQUEST', async () => await post({ 'content-type': ' application/json' }, '{"policy":1}')],
    ['T35: a prototype in the body', 'INVALID_REQUEST', async () => await post({ 'content-type': 'application/json' }, '{"__proto__":{}}')],
    ['T35: a constructor in the body', 'INVALID_REQUEST', async () => await post({ 'content-type': 'application/json' }, '{"constructor":{"prototype":{}}}')]
  ]
  for (const [name, code, request] of requests) {
    t.test(name, async t => {
      const reply = await request()
      check(t, { status: reply.statusCode, type: reply.headers['content-type'], body: reply.body }, code)
    })
  }

  const socketRequests: ReadonlyArray<[name: string, code: ErrorCode, bytes: string]> = [
    ['garbage instead of HTTP', 'INVALID_REQUEST', 'GARBAGE\r\n\r\n'],
    ['headers of 20 kB', 'HEADERS_TOO_LARGE', `GET /livez HTTP/1.1\r\nhost: a\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`],
    ['a bad URL over a socket', 'INVALID_REQUEST', 'GET /a/%zz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'],
    ['HTTP/1.1 without a Host', 'INVALID_REQUEST', 'GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n'],
    ['an expectation that nobody knows', 'INVALID_REQUEST', 'POST /uploads HTTP/1.1\r\nhost: a\r\nexpect: foo\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}'],
    ['OPTIONS of the server as a whole', 'NOT_FOUND', 'OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'],
    ['OPTIONS of an address', 'NOT_FOUND', 'OPTIONS /files HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'],
    ['half a preflight', 'NOT_FOUND', 'OPTIONS /files HTTP/1.1\r\nhost: a\r\norigin: https://app.example\r\nconnection: close\r\n\r\n'],
    ['two lengths, as request smuggling has them', 'INVALID_REQUEST', 'POST /uploads HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n']
  ]
  for (const [name, code, bytes] of socketRequests) {
    t.test(name, async t => {
      const [head = '', body = ''] = (await raw(service, bytes)).split('\r\n\r\n')
      check(t, { status: Number(head.split(' ')[1]), type: /content-type: (\S+)/i.exec(head)?.[1], body }, code)
    })
  }

  t.test('HTTP/1.0 needs no Host, and 100-continue is met', async t => {
    t.match(await raw(service, 'GET /livez HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 /)
    const body = JSON.stringify(pictureBody)
    const reply = await raw(service, `POST /uploads HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${ada}\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
    t.match(reply, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 201 /)
  })

  t.test('says which fields are wrong', async t => {
    const { errors } = (await service.call('POST', '/uploads', { token: ada, body: { policy: 'pictures', contentType: 5, sizeBytes: 1, what: 1 } })).json()
    t.same(errors.map(({ path }: { path: string }) => path).sort(), ['/contentType', '/filename', '/what'])
  })

  t.test('lists twenty wrong fields at most', async t => {
    const body = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`field${index}`, 1]))
    t.equal((await service.call('POST', '/uploads', { token: ada, body })).json().errors.length, 20)
  })
})

interface Described {
  readonly parameters?: ReadonlyArray<{ readonly name: string, readonly in: string, readonly schema: { readonly type?: string } }>
  readonly responses: Readonly<Record<string, { readonly headers?: Readonly<Record<string, unknown>> }>>
}

for (const engine of ENGINES) {
  t.test(`control characters in what a database is asked for are refused (${engine})`, async t => {
    const { call, token } = await start(t, { engine })
    const admin = await token('ada', { scope: 'files:admin files:scan' })
    const uppy = '/uppy/parts/s3/multipart'
    const refused: ReadonlyArray<[method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, body?: unknown]> = [
      ['GET', '/files?policy=a%00b'],
      ['GET', '/files?policy=a%0Ab'],
      ['GET', '/files?owner=a%00b'],
      ['GET', '/files?owner=%7f'],
      ['GET', '/files?cursor=a%00b'],
      ['GET', '/files/a%00b'],
      ['GET', '/uploads/a%00b'],
      ['GET', '/downloads/a%00b'],
      ['DELETE', '/uploads/tickets/a%00b'],
      ['GET', '/webhook-deliveries?endpoint=a%00b'],
      ['GET', '/webhook-deliveries?fileId=a%00b'],
      ['GET', '/webhook-deliveries?cursor=a%00b'],
      ['POST', '/webhook-deliveries/a%00b/replay'],
      ['GET', `${uppy}/u?key=a%00b`],
      ['GET', `${uppy}/a%00b?key=k`],
      ['GET', '/uppy/a%00b/s3/multipart/u?key=k'],
      ['GET', `${uppy}/u/1?key=a%00b`],
      ['GET', `${uppy}/a%00b/1?key=k`],
      ['GET', `${uppy}/u/batch?partNumbers=1&key=a%00b`],
      ['GET', `${uppy}/a%1fb/batch?partNumbers=1&key=k`],
      ['POST', `${uppy}/u/complete?key=a%00b`, { parts: [{ PartNumber: 1, ETag: 'e' }] }],
      ['POST', `${uppy}/a%00b/complete?key=k`, { parts: [{ PartNumber: 1, ETag: 'e' }] }],
      ['DELETE', `${uppy}/u?key=a%00b`],
      ['DELETE', `${uppy}/a%00b?key=k`],
      ['POST', uppy, { filename: 'a', type: 'application/octet-stream', metadata: { album: 'a\0b' } }],
      ['POST', '/uploads', { ...pictureBody, metadata: { album: 'a\0b' } }],
      ['POST', '/uploads', { ...pictureBody, metadata: { 'a\0b': 'album' } }],
      ['POST', '/uploads', { ...pictureBody, replaces: 'a\0b' }],
      ['POST', '/downloads', { fileId: 'a\0b' }],
      ['POST', '/deletions', { fileId: 'a\0b' }],
      ['POST', '/files/x/verdict', { verdict: 'infected', detail: 'a\0b' }]
    ]
    for (const [method, path, body] of refused) t.match((await call(method, path, { token: admin, body })).json(), { status: 400, code: 'INVALID_REQUEST' }, `${method} ${path} ${JSON.stringify(body) ?? ''}`)

    for (const [method, path, body, expected] of [
      ['GET', `${uppy}/u?key=${encodeURIComponent('Fotos/Grüße 📷 100%.png')}`, undefined, 404],
      ['GET', `${uppy}/${encodeURIComponent('2~ü/+=.|')}?key=k`, undefined, 404],
      ['GET', '/files?policy=Bilder%20ü', undefined, 200],
      ['POST', '/uploads', { ...pictureBody, policy: 'a\0b' }, 404],
      ['POST', '/uploads', { ...pictureBody, contentType: 'image/png\0' }, 415],
      ['POST', '/uploads', { ...pictureBody, filename: 'a\0b.png' }, 201],
      ['POST', '/uploads/tickets', { policy: 'a\0b' }, 404],
      ['GET', '/uppy/tickets/a%00b/s3/multipart/u?key=k', undefined, 401]
    ] as const) t.equal((await call(method, path, { token: admin, body })).statusCode, expected, `${method} ${path}`)

    const { paths } = parse(readFileSync('openapi.yaml', 'utf8')) as { paths: Record<string, Record<string, Described>> }
    let tried = 0
    for (const [path, operations] of Object.entries(paths)) {
      for (const [method, { parameters = [] }] of Object.entries(operations)) {
        for (const odd of parameters.filter(parameter => parameter.in !== 'header')) {
          const value = (name: string, usual: string) => name === odd.name ? 'a%00b' : usual
          const query = parameters.filter(parameter => parameter.in === 'query' && (parameter.name === odd.name || ['key', 'partNumbers', 'filename'].includes(parameter.name)))
          const url = `${path.replace(/\{(\w+)\}/g, (_, name: string) => value(name, name === 'policy' ? 'parts' : '1'))}?${query.map(({ name }) => `${encodeURIComponent(name)}=${value(name, '1')}`).join('&')}`
          const { statusCode } = await call(method.toUpperCase() as 'GET', url, { token: admin, ...(method !== 'get' && { body: {} }) })
          if (statusCode >= 500) t.fail(`${method} ${url}: ${statusCode}`)
          tried++
        }
      }
    }
    t.ok(tried > 40, `${tried} parameters of openapi.yaml`)
  })
}

t.test('T40: a fault of ours or of the store says nothing of keys, SQL or the store\'s words', async t => {
  const log = capture()
  for (const error of [new Error('SELECT secret FROM keys at bucket/key'), new ApiError('OBJECT_STORAGE_ERROR', 'The object storage did not answer as expected.', { cause: new Error('AccessDenied on bucket/key') })]) {
    const service = await start(t, { logTo: log.stream, adapt: services => ({ ...services, objectStorage: { ...services.objectStorage, presignPut: () => Promise.reject(error) } }) })
    const reply = await service.call('POST', '/uploads', { token: await service.token('ada'), body: pictureBody })
    t.ok(reply.statusCode >= 500)
    t.notMatch(reply.body, /SELECT|bucket|AccessDenied/)
    const lines = log.lines().filter(line => line['requestId'] === reply.json().requestId || line['reqId'] === reply.json().requestId)
    t.equal(lines.filter(line => JSON.stringify(line).includes('bucket/key')).length, 1, 'the cause is in the log once, under the id of the request')
  }
})

t.test('T34: limits by address hold whatever a client says of itself, and name the wait', async t => {
  const service = await start(t, { env: { RATE_LIMIT_ADDRESS_PER_MINUTE: '3' } })
  const replies = []
  for (let index = 0; index < 4; index++) replies.push(await service.call('GET', '/policies', { headers: { 'x-forwarded-for': `203.0.113.${index}` } }))
  t.strictSame(replies.map(reply => reply.statusCode), [401, 401, 401, 429])
  t.match(replies[3]?.json(), { code: 'RATE_LIMITED', retryAfterSeconds: Number })
  t.match(replies[3]?.headers['retry-after'], /^[1-9]\d*$/)
  t.match(replies[0]?.headers, { 'ratelimit-limit': '3', 'ratelimit-remaining': '2', 'ratelimit-reset': /^\d+$/ })
})

t.test('T34: behind a trusted proxy the client\'s own address counts, an IPv6 network as one', async t => {
  const service = await start(t, { env: { RATE_LIMIT_ADDRESS_PER_MINUTE: '1', TRUST_PROXY: '127.0.0.1' } })
  const from = async (address: string) => (await service.call('GET', '/policies', { headers: { 'x-forwarded-for': address } })).statusCode
  t.equal(await from('203.0.113.1'), 401)
  t.equal(await from('203.0.113.2'), 401)
  t.equal(await from('203.0.113.1'), 429)
  t.equal(await from('2001:db8:1:1::1'), 401)
  t.equal(await from('2001:db8:1:1:ffff::2'), 429)
  t.equal(await from('2001:db8:1:2::1'), 401)
})

t.test('T34: limits by user count one user, from any address, and nobody else', async t => {
  const service = await start(t, { env: { RATE_LIMIT_USER_PER_MINUTE: '2', TRUST_PROXY: '127.0.0.1' } })
  const ask = async (sub: string, from: string) => (await service.call('GET', '/policies', { token: await service.token(sub), headers: { 'x-forwarded-for': from } })).statusCode
  t.strictSame([await ask('ada', '203.0.113.1'), await ask('ada', '203.0.113.2'), await ask('ada', '203.0.113.3'), await ask('grace', '203.0.113.1')], [200, 200, 429, 200])
})

t.test('T36: only listed origins may call from a page', async t => {
  const service = await start(t, { env: { CORS_ORIGINS: 'https://app.example' } })
  const get = async (origin: string) => (await service.call('GET', '/livez', { headers: { origin } })).headers
  t.equal((await get('https://evil.example'))['access-control-allow-origin'], undefined)
  t.equal((await get('https://app.example.evil'))['access-control-allow-origin'], undefined)
  const listed = await get('https://app.example')
  t.match(listed, { 'access-control-allow-origin': 'https://app.example', vary: /Origin/, 'access-control-expose-headers': /etag.*location.*retry-after.*x-request-id/ })
  const exposed = String(listed['access-control-expose-headers']).split(', ')
  const { paths } = parse(readFileSync('openapi.yaml', 'utf8')) as { paths: Record<string, Record<string, Described>> }
  const named = Object.values(paths).flatMap(operations => Object.values(operations)).flatMap(({ responses }) => Object.values(responses)).flatMap(({ headers = {} }) => Object.keys(headers))
  t.ok(named.includes('location'))
  t.strictSame(named.filter(name => !exposed.includes(name)), [], 'pages can read every header that openapi.yaml names')
  t.equal(listed['access-control-allow-credentials'], undefined)
  const preflight = await service.app.inject({ method: 'OPTIONS', url: '/files/x', headers: { origin: 'https://app.example', 'access-control-request-method': 'PATCH', 'access-control-request-headers': 'authorization,content-type' } })
  t.equal(preflight.statusCode, 204)
  t.match(preflight.headers, { 'access-control-allow-methods': /PATCH/, 'access-control-allow-headers': /authorization/ })
  t.equal((await (await start(t)).call('GET', '/livez', { headers: { origin: 'https://app.example' } })).headers['access-control-allow-origin'], undefined, 'none by default')
})

t.test('a request id is taken from a trusted proxy alone, and comes back', async t => {
  const open = await start(t)
  t.not((await open.call('GET', '/livez', { headers: { 'x-request-id': 'mine' } })).headers['x-request-id'], 'mine')
  const behind = await start(t, { env: { TRUST_PROXY: '127.0.0.0/8' } })
  const ask = async (id: string) => (await behind.call('GET', '/nope', { headers: { 'x-request-id': id } }))
  t.equal((await ask('abc-123')).headers['x-request-id'], 'abc-123')
  t.equal((await ask('abc-123')).json().requestId, 'abc-123')
  for (const id of ['a b', 'a'.repeat(65), '<script>']) t.not((await ask(id)).headers['x-request-id'], id)
})

t.test('security headers are there', async t => {
  t.match((await (await start(t)).call('GET', '/livez')).headers, {
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none';frame-ancestors 'none'",
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-store'
  })
})

t.test('T28: neither tokens nor signed URLs get into the log, whatever happens', async t => {
  const log = capture()
  const service = await start(t, { logTo: log.stream, env: { LOG_LEVEL: 'trace' } })
  const ada = await service.token('ada')
  const picture = png()
  const { file, upload } = (await service.call('POST', '/uploads', { token: ada, body: { ...pictureBody, sizeBytes: picture.length } })).json()
  await send(upload, picture)
  await service.call('POST', `/uploads/${file.id}/complete`, { token: ada })
  const { download } = (await service.call('POST', '/downloads', { token: ada, body: { fileId: file.id } })).json()
  await service.call('GET', `/downloads/${file.id}?disposition=inline`, { token: ada })
  await service.call('GET', `/files?token=${ada}`, { token: ada })
  await service.call('GET', `/${ada}`, { token: `${ada}x` })
  service.services.log.info({ url: upload.url, headers: { authorization: `Bearer ${ada}` }, download }, 'on purpose')
  const broken = await start(t, { logTo: log.stream, env: { S3_ENDPOINT: 'http://127.0.0.1:1', LOG_LEVEL: 'trace' } })
  const lost = (await broken.call('POST', '/uploads', { token: ada, body: pictureBody })).json()
  t.equal((await broken.call('POST', `/uploads/${lost.file.id}/complete`, { token: ada })).statusCode, 502)
  const text = log.text()
  t.ok(log.lines().length > 8)
  t.match(text, /ECONNREFUSED/, 'the cause of the 502 is there')
  t.notMatch(text, /X-Amz-Signature|X-Amz-Credential|X-Amz-Security-Token|eyJ|signature=/i)
})

t.test('one line per request, with the pattern of its route', async t => {
  const log = capture()
  const service = await start(t, { logTo: log.stream })
  await service.call('GET', '/files/some-id?x=1', { token: await service.token('ada') })
  const requests = log.lines().filter(line => line['msg'] === 'request')
  t.match(requests, [{ method: 'GET', route: '/files/:id', status: 404, milliseconds: Number, reqId: String }])
  t.equal(requests.length, 1)
})

t.test('liveness and readiness', async t => {
  t.test('both are open to probes', async t => {
    const service = await start(t)
    t.strictSame((await service.call('GET', '/livez')).json(), { status: 'ok' })
    const ready = async () => (await service.call('GET', '/readyz')).json()
    // A probe does not wait for the first answer of the store.
    await until(async () => (await ready()).detail.bucket === 'ok')
    t.strictSame(await ready(), { status: 'ok', detail: { database: 'ok', bucket: 'ok' } })
  })

  t.test('F15: a bucket that is out is told and does not take the process out', async t => {
    const service = await start(t, { env: { S3_ENDPOINT: 'http://127.0.0.1:1' } })
    t.strictSame((await service.call('GET', '/readyz')).json(), { status: 'ok', detail: { database: 'ok', bucket: 'unreachable' } })
    t.equal((await service.call('POST', '/uploads', { token: await service.token('ada'), body: pictureBody })).statusCode, 201, 'signing needs no store')
  })

  t.test('F15: a silent store does not keep a probe: it gets what was known last', async t => {
    let time = Date.now()
    let answer = (): Promise<boolean> => new Promise(() => {})
    let asked = 0
    const isReachable = async (): Promise<boolean> => {
      asked++
      return await answer()
    }
    const service = await start(t, { adapt: services => ({ ...services, now: () => new Date(time), objectStorage: { ...services.objectStorage, isReachable } }) })
    const probe = async () => {
      const reply = await service.call('GET', '/readyz')
      t.equal(reply.statusCode, 200)
      return reply.json().detail.bucket
    }
    t.same(await Promise.all([probe(), probe()]), ['unreachable', 'unreachable'], 'nothing was known')
    t.equal(asked, 1, 'and the store is not asked by each')
    time += 10_001
    answer = async () => true
    t.equal(await probe(), 'ok')
    time += 10_001
    answer = async () => await new Promise(() => {})
    t.equal(await probe(), 'ok')
    time += 10_001
    answer = async () => false
    t.equal(await probe(), 'unreachable')
    t.equal(asked, 4)
  })

  t.test('a database that is out takes the process out, and the process lives', async t => {
    const service = await start(t)
    await service.services.database.destroy()
    t.match((await service.call('GET', '/readyz')).json(), { status: 503, code: 'NOT_READY' })
    t.equal((await service.call('GET', '/livez')).statusCode, 200)
  })
})

function capture () {
  const stream = new PassThrough()
  const chunks: Buffer[] = []
  stream.on('data', chunk => chunks.push(chunk))
  const text = () => Buffer.concat(chunks).toString()
  return { stream, text, lines: () => text().split('\n').filter(line => line !== '').map(line => JSON.parse(line) as Record<string, unknown>) }
}
