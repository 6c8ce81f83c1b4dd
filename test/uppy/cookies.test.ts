import t, { type Test } from 'tap'
import { png } from '../helpers/samples.js'
import { ENGINES, startService, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { POLICIES } from './fixtures/uppy-client.js'

const s3 = await startTestS3(t)
const FRONT = 'https://app.example.com'
const EVIL = 'https://evil.example'
for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  const service = await startService(t, s3, { engine, policies: POLICIES, env: { UPPY_COOKIE: 'session', CORS_ORIGINS: FRONT, TRUST_PROXY: '127.0.0.1' } })
  const { app, call, token, services } = service
  const ada = await token('ada')
  const own = { host: 'files.example.com', 'x-forwarded-proto': 'https' }
  const cookie = `theme=dark; session=${ada}; other=1`
  const params = `/uppy/pictures/s3/params?${new URLSearchParams({ filename: 'a.png', type: 'image/png', 'metadata[size]': String(png().length) })}`
  const get = async (headers: Record<string, string>, path = params) => await call('GET', path, { headers: { ...own, ...headers } })
  const post = async (headers: Record<string, string>, path = '/uppy/pictures/s3/multipart') => await call('POST', path, { body: { filename: 'a.png', type: 'image/png', metadata: {} }, headers: { ...own, ...headers } })
  const countFiles = async () => Number((await services.database.selectFrom('files').select(({ fn }) => fn.countAll().as('count')).executeTakeFirstOrThrow()).count)

  const rows: ReadonlyArray<[name: string, headers: Record<string, string>, status: number]> = [
    ['a page of the same origin', { origin: 'https://files.example.com' }, 200],
    ['a page of a listed origin', { origin: FRONT }, 200],
    ['T7: a page of another origin', { origin: EVIL }, 403],
    ['T7: a page without an origin of its own', { origin: 'null' }, 403],
    ['T7: the same host over plain http', { origin: 'http://files.example.com' }, 403],
    ['T7: the same host on another port', { origin: 'https://files.example.com:8443' }, 403],
    ['T7: a name that begins like a listed one', { origin: `${FRONT}.evil.example` }, 403],
    ['T7: a page of another origin that says it is none', { origin: EVIL, 'sec-fetch-site': 'same-origin' }, 403]
  ]
  for (const [name, headers, status] of rows) {
    t.test(`${name} gets ${status}`, async t => {
      const before = await countFiles()
      for (const reply of [await get({ cookie, ...headers }), await post({ cookie, ...headers })]) {
        t.equal(reply.statusCode, status, reply.body)
        if (status === 403) t.match(reply.json(), { code: 'ORIGIN_NOT_ALLOWED', message: /\w/ })
      }
      t.equal(await countFiles() - before, status === 200 ? 2 : 0)
    })
  }

  t.test('T7: a GET without an origin counts when the browser says that the page is of the same one', async t => {
    t.equal((await get({ cookie, 'sec-fetch-site': 'same-origin' })).statusCode, 200)
    for (const site of ['cross-site', 'same-site', 'none', '']) t.match((await get({ cookie, 'sec-fetch-site': site })).json(), { status: 403, code: 'ORIGIN_NOT_ALLOWED' }, site)
    t.equal((await get({ cookie })).statusCode, 403, 'one that says nothing is not believed')
    t.equal((await post({ cookie })).statusCode, 403)
  })

  t.test('T7: a form of another page is no JSON', async t => {
    const payload = '{"filename":"a.png","type":"image/png"}'
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
      const reply = await app.inject({ method: 'POST', url: '/uppy/pictures/s3/multipart', headers: { ...own, cookie, origin: FRONT, 'content-type': type }, payload })
      t.match(reply.json(), { status: 415, code: 'UNSUPPORTED_MEDIA_TYPE' })
    }
  })

  t.test('T7: the cookie counts on the addresses for Uppy alone, and not under a ticket', async t => {
    for (const path of ['/files', '/policies', '/uploads/tickets', '/usage', '//files']) {
      const reply = await get({ cookie, origin: 'https://files.example.com' }, path)
      t.equal(reply.statusCode, path === '//files' ? 404 : 401, path)
    }
    t.equal((await get({ cookie, origin: FRONT }, '/uppy/tickets/none/s3/params?filename=a')).statusCode, 401)
    const off = await startService(t, s3, { engine, policies: POLICIES, env: { CORS_ORIGINS: FRONT } })
    t.equal((await off.call('GET', params, { headers: { cookie, origin: FRONT } })).statusCode, 401, 'nor anywhere without UPPY_COOKIE')
  })

  t.test('T2: the token in it is checked like any other', async t => {
    const now = Math.floor(Date.now() / 1000)
    const bad: Array<[string, string]> = [
      ['no token', 'x'], ['nothing', ''], ['expired', await token('ada', { exp: now - 60 })], ['of another audience', await token('ada', { aud: 'other' })],
      ['without an end', await token('ada', { exp: undefined })], ['without an owner', await token('')], ['changed', `${ada.slice(0, -2)}AA`], ['two words', `${ada} ${ada}`]
    ]
    for (const [name, value] of bad) t.match((await get({ cookie: `session=${value}`, origin: FRONT })).json(), { status: 401, code: 'UNAUTHENTICATED' }, name)
    t.equal((await get({ cookie: `session="${ada}"`, origin: FRONT })).statusCode, 200, 'in quotes, too')
    t.equal((await get({ cookie: `xsession=${ada}`, origin: FRONT })).statusCode, 401, 'under its exact name')
    t.equal((await get({ cookie: 'theme=dark', origin: EVIL })).statusCode, 401, 'another cookie is none')
  })

  t.test('a request with a header goes by that, from wherever it comes', async t => {
    const eve = await token('eve')
    t.equal((await get({ cookie, authorization: `Bearer ${eve}`, origin: EVIL })).statusCode, 200)
    t.equal((await get({ cookie, authorization: 'Bearer x', origin: FRONT })).statusCode, 401, 'and by that alone')
    const { data } = (await call('GET', '/files?status=pending', { token: eve })).json()
    t.equal(data.length, 1)
  })

  t.test('T36: only there may a listed origin send cookies', async t => {
    const preflight = async (url: string, origin: string, on = app) => (await on.inject({ method: 'OPTIONS', url, headers: { origin, 'access-control-request-method': 'DELETE', 'access-control-request-headers': 'authorization,content-type' } })).headers
    const allowed = await preflight('/uppy/pictures/s3/multipart/u?key=k', FRONT)
    t.match(allowed, { 'access-control-allow-origin': FRONT, 'access-control-allow-credentials': 'true', 'access-control-allow-methods': /DELETE/, 'access-control-allow-headers': /authorization/, vary: /Origin/i })
    t.equal((await preflight('/uppy/pictures//s3/multipart/u?key=k', FRONT))['access-control-allow-credentials'], 'true')
    t.match(await preflight('/uppy/pictures/s3/multipart/u?key=k', EVIL), { 'access-control-allow-origin': undefined })
    t.match(await preflight('/files/x', FRONT), { 'access-control-allow-origin': FRONT, 'access-control-allow-credentials': undefined })
    t.match((await get({ cookie, origin: FRONT })).headers, { 'access-control-allow-origin': FRONT, 'access-control-allow-credentials': 'true' })
    t.match((await get({ cookie, origin: EVIL })).headers, { 'access-control-allow-origin': undefined, 'access-control-allow-credentials': undefined })
    const off = await startService(t, s3, { engine, policies: POLICIES, env: { CORS_ORIGINS: FRONT } })
    t.match(await preflight('/uppy/pictures/s3/params', FRONT, off.app), { 'access-control-allow-origin': FRONT, 'access-control-allow-credentials': undefined })
  })
}
