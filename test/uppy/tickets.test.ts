import { PassThrough } from 'node:stream'
import t, { type Test } from 'tap'
import { sweepUploads } from '../../src/jobs/sweep-uploads.js'
import { sendForm } from '../helpers/form.js'
import { png } from '../helpers/samples.js'
import { ENGINES, startService, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { idOf, MIB, POLICIES, uppyClient, type Begun } from './fixtures/uppy-client.js'

const s3 = await startTestS3(t)
const picture = png()
const query = { filename: 'a.png', type: 'image/png', 'metadata[size]': String(picture.length) }
for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  let ahead = 0
  const service = await startService(t, s3, { engine, policies: POLICIES, adapt: services => ({ ...services, now: () => new Date(Date.now() + ahead) }) })
  const { call, token, services } = service
  const ada = await token('ada')
  const eve = await token('eve')
  const mint = async (body: object = {}, as = ada) => await call('POST', '/uploads/tickets', { token: as, body: { policy: 'pictures', ...body } })
  const ticket = async (body: object = {}, as = ada) => {
    const reply = await mint(body, as)
    t.equal(reply.statusCode, 201, reply.body)
    return reply.json<{ ticket: { id: string, endpoint: string, policy: string, maxFiles: number, maxBytes: number, expiresAt: string } }>().ticket
  }
  const clientOf = async (body: object = {}) => uppyClient(service, { path: (await ticket(body)).endpoint })

  t.test('a ticket uploads in its owner\'s name, without a token', async t => {
    const { id, endpoint, ...rest } = await ticket()
    t.match(endpoint, /^\/uppy\/tickets\/[\w-]{43}$/)
    t.match(rest, { policy: 'pictures', maxFiles: 100, maxBytes: 100 * MIB, expiresAt: String })
    t.notMatch(endpoint, id)
    const uppy = uppyClient(service, { path: endpoint })
    const form = (await uppy.params(query)).json()
    await sendForm(form, picture)
    t.match((await call('POST', `/uploads/${idOf(form.fields)}/complete`, { token: ada })).json().file, { status: 'ready', owner: 'ada', policy: 'pictures' })
    const begun: Begun = (await uppy.begin({ filename: 'b.png', type: 'image/png', metadata: {} })).json()
    t.match((await uppy.complete(begun, [await uppy.put(begun, 1, picture)])).json(), { file: { status: 'ready', owner: 'ada' } })
    t.match((await uppy.presign({ method: 'PUT', key: 'c.png', contentType: 'image/png' })).json(), { fields: Object })
  })

  t.test('the token is nowhere in the database', async t => {
    const { endpoint } = await ticket()
    const rows = await services.database.selectFrom('upload_tickets').selectAll().execute()
    t.notMatch(JSON.stringify(rows), endpoint.split('/').at(-1))
  })

  t.test('T6: a ticket is good for nothing but its address', async t => {
    const { endpoint, id } = await ticket()
    const secret = endpoint.split('/').at(-1) ?? ''
    for (const [method, path] of [['GET', '/files'], ['GET', '/policies'], ['POST', '/uploads/tickets'], ['GET', '/uppy/pictures/s3/params?filename=a.png']] as const) {
      t.equal((await call(method, path, { token: secret, ...(method === 'POST' && { body: { policy: 'pictures' } }) })).statusCode, 401, `${method} ${path}`)
    }
    t.equal((await call('GET', `/uppy/tickets/${id}/s3/params?filename=a.png&type=image/png`)).statusCode, 401, 'its id is no token')
    t.equal((await call('GET', `/uppy/tickets/${ada}/s3/params?filename=a.png&type=image/png`)).statusCode, 401, 'and a token is no ticket')
  })

  t.test('T6: after its files are used up nothing more is created', async t => {
    const uppy = await clientOf({ maxFiles: 2 })
    const first: Begun = (await uppy.begin({ filename: 'a.png', type: 'image/png', metadata: {} })).json()
    t.equal((await uppy.params(query)).statusCode, 200)
    t.match((await uppy.params(query)).json(), { status: 403, code: 'QUOTA_EXCEEDED', message: /ticket/ })
    t.equal((await uppy.abort(first)).statusCode, 200)
    t.match((await uppy.params(query)).json(), { code: 'QUOTA_EXCEEDED' }, 'what was given up counts, too')
    t.equal((await call('GET', '/uploads/tickets', { token: ada })).json().data[0].usedFiles, 2)
  })

  t.test('T6: nor after its bytes are', async t => {
    const uppy = await clientOf({ maxBytes: 2 * picture.length + 1 })
    for (const status of [200, 200, 403]) t.equal((await uppy.params(query)).statusCode, status)
    const open = await clientOf({ maxBytes: 1000 })
    const { 'metadata[size]': _, ...undeclared } = query
    const form = (await open.params(undeclared)).json()
    const policy = JSON.parse(Buffer.from(form.fields.Policy, 'base64').toString())
    t.strictSame(policy.conditions[0], ['content-length-range', 0, 1000], 'a file of unknown size may have what the ticket allows, and takes it all')
    t.equal((await open.params(query)).statusCode, 403)
  })

  t.test('T6 T31: of many creations at once, exactly as many as the ticket allows are made', async t => {
    const { id, endpoint } = await ticket({ maxFiles: 10, maxBytes: 7 * picture.length })
    const uppy = uppyClient(service, { path: endpoint })
    const before = (await call('GET', '/usage', { token: ada })).json().data.find(({ policy }: { policy: string }) => policy === 'pictures')
    const replies = await Promise.all(Array.from({ length: 40 }, async () => (await uppy.params(query)).statusCode))
    t.equal(replies.filter(status => status === 200).length, 7)
    t.equal(replies.filter(status => status === 403).length, 33)
    const after = (await call('GET', '/usage', { token: ada })).json().data.find(({ policy }: { policy: string }) => policy === 'pictures')
    t.strictSame([after.files - before.files, after.bytes - before.bytes, after.pending - before.pending], [7, 7 * picture.length, 7], 'and the usage is of those alone')
    const row = await services.database.selectFrom('upload_tickets').select(['used_files', 'used_bytes']).where('id', '=', id).executeTakeFirst()
    t.strictSame({ ...row }, { used_files: 7, used_bytes: 7 * picture.length })
  })

  t.test('T6: revoked, over and unknown tickets are one and the same 401', async t => {
    t.teardown(() => { ahead = 0 })
    const revoked = await ticket()
    const short = await ticket({ expiresInSeconds: 60 })
    const used = uppyClient(service, { path: revoked.endpoint })
    const begun: Begun = (await used.begin({ filename: 'a.png', type: 'image/png', metadata: {} })).json()
    for (let time = 0; time < 2; time++) t.equal((await call('DELETE', `/uploads/tickets/${revoked.id}`, { token: ada })).statusCode, 204, 'revoking may be repeated')
    ahead = 61_000
    const replies = [
      await used.params(query), await used.sign(begun, 1),
      await uppyClient(service, { path: short.endpoint }).params(query),
      await uppyClient(service, { path: `/uppy/tickets/${'A'.repeat(43)}` }).params(query)
    ]
    for (const reply of replies) t.strictSame({ ...reply.json(), requestId: '' }, { ...replies[0]!.json(), requestId: '' })
    t.match(replies[0]!.json(), { status: 401, code: 'UNAUTHENTICATED' })
  })

  t.test('T8: only its owner, or an administrator, revokes it', async t => {
    const { id, endpoint } = await ticket()
    const foreign = await call('DELETE', `/uploads/tickets/${id}`, { token: eve })
    const unknown = await call('DELETE', '/uploads/tickets/00000000-0000-4000-8000-000000000000', { token: eve })
    t.equal(foreign.statusCode, 404)
    t.strictSame({ ...foreign.json(), requestId: '' }, { ...unknown.json(), requestId: '' })
    t.equal((await uppyClient(service, { path: endpoint }).params(query)).statusCode, 200)
    t.strictSame((await call('GET', '/uploads/tickets', { token: eve })).json(), { data: [] })
    t.equal((await call('DELETE', `/uploads/tickets/${id}`, { token: await token('root', { scope: 'files:admin' }) })).statusCode, 204)
    t.equal((await uppyClient(service, { path: endpoint }).params(query)).statusCode, 401)
  })

  t.test('a policy is asked when a ticket is made, and again when it is used', async t => {
    t.match((await mint({ policy: 'guarded' })).json(), { code: 'SCOPE_MISSING' })
    t.match((await mint({ policy: 'nope' })).json(), { code: 'POLICY_NOT_FOUND' })
    const artist = await token('ada', { scope: 'guarded:write files:admin other', department: 'art', email: 'a@example.com' })
    const { id, endpoint } = await ticket({ policy: 'guarded' }, artist)
    const row = await services.database.selectFrom('upload_tickets').select(['scopes', 'claims']).where('id', '=', id).executeTakeFirst()
    t.strictSame({ ...row }, { scopes: '["guarded:write"]', claims: '{"department":"art"}' }, 'no more of the token than the policy asks for is kept')
    t.equal((await uppyClient(service, { path: endpoint }).params(query)).statusCode, 200)
    const policy = services.policies.get('guarded')!
    const asks = (change: object): void => { (services.policies as Map<string, typeof policy>).set('guarded', { ...policy, ...change }) }
    t.teardown(() => asks({}))
    asks({ requiredScopes: ['guarded:write', 'guarded:more'] })
    t.match((await uppyClient(service, { path: endpoint }).params(query)).json(), { code: 'SCOPE_MISSING' })
    asks({ requiredClaims: new Map([['department', 'science']]) })
    t.match((await uppyClient(service, { path: endpoint }).params(query)).json(), { code: 'POLICY_FORBIDDEN' })
  })

  t.test('refuses what a ticket cannot be', async t => {
    for (const body of [{ expiresInSeconds: 86_401 }, { expiresInSeconds: 59 }, { maxFiles: 0 }, { maxFiles: 10_001 }, { maxBytes: 0 }, { owner: 'eve' }, { policy: '' }]) {
      t.match((await mint(body)).json(), { status: 400, code: 'INVALID_REQUEST' }, JSON.stringify(body))
    }
    t.equal((await mint({ expiresInSeconds: 86_400, maxFiles: 10_000 })).statusCode, 201)
  })

  t.test('a ticket that is long over is forgotten', async t => {
    t.teardown(() => { ahead = 0 })
    const { id } = await ticket({ expiresInSeconds: 60 })
    const isThere = async () => await services.database.selectFrom('upload_tickets').select('id').where('id', '=', id).executeTakeFirst() !== undefined
    ahead = 86_400_000
    await sweepUploads(services)
    t.ok(await isThere())
    ahead = 86_400_000 + 61_000
    await sweepUploads(services)
    t.notOk(await isThere())
  })

  t.test('T6 T28: a ticket is in no log and in no error', async t => {
    const stream = new PassThrough()
    const chunks: Buffer[] = []
    stream.on('data', chunk => chunks.push(chunk))
    const logged = await startService(t, s3, { engine, policies: POLICIES, logTo: stream, env: { LOG_LEVEL: 'trace', S3_ENDPOINT: 'http://127.0.0.1:1' } })
    const { endpoint, id } = (await logged.call('POST', '/uploads/tickets', { token: ada, body: { policy: 'pictures' } })).json().ticket
    const secret = endpoint.split('/').at(-1)
    const origin = await logged.app.listen({ port: 0, host: '127.0.0.1' })
    const bodies = []
    for (const path of [`${endpoint}/s3/params?filename=a.png&type=image/png`, `${endpoint}/s3/params`, `/${endpoint}//s3/params?filename=a.png&type=image/png`, `${endpoint}/s3/nope`, `${endpoint}/s3/multipart/%zz/1?key=k`, `${endpoint}/s3/multipart/u/x?key=k`]) {
      bodies.push(await (await fetch(`${origin}${path}`)).text())
    }
    const failed = await fetch(`${origin}${endpoint}/s3/multipart`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"filename":"a.png","type":"image/png"}' })
    t.equal(failed.status, 502, 'the store does not answer')
    bodies.push(await failed.text())
    await logged.call('DELETE', `/uploads/tickets/${id}`, { token: ada })
    bodies.push(await (await fetch(`${origin}${endpoint}/s3/params?filename=a.png`)).text())
    const log = Buffer.concat(chunks).toString()
    t.match(log, '/uppy/tickets/:ticket/s3/params', 'the requests are in the log, by the pattern of their route')
    t.notMatch(log, secret)
    t.notMatch(bodies.join(), secret)
  })
}
