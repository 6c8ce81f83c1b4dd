import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { png } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { ENGINES, POLICIES, startService, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'

interface Attempt {
  /** Which file of the victim is tried: one that is ready, one whose bytes have arrived but that is not completed, or one in parts. */
  readonly on: 'ready' | 'pending' | 'parts'
  readonly path: (id: string) => string
  readonly body?: (id: string) => unknown
}

/**
 * How each operation that names a file is tried as someone else. An operation of openapi.yaml that is in
 * neither table fails the test: a new route cannot come without its entry.
 */
const NAMES_A_FILE: ReadonlyMap<string, Attempt> = new Map<string, Attempt>([
  ['createUpload', { on: 'ready', path: () => '/uploads', body: id => ({ policy: 'few', filename: 'a.png', contentType: 'image/png', sizeBytes: 1, replaces: id }) }],
  ['getUpload', { on: 'pending', path: id => `/uploads/${id}` }],
  ['signUploadParts', { on: 'parts', path: id => `/uploads/${id}/parts`, body: () => ({ partNumbers: [1] }) }],
  ['completeUpload', { on: 'pending', path: id => `/uploads/${id}/complete`, body: () => ({}) }],
  ['abortUpload', { on: 'pending', path: id => `/uploads/${id}` }],
  ['createDownload', { on: 'ready', path: () => '/downloads', body: id => ({ fileId: id }) }],
  ['redirectToDownload', { on: 'ready', path: id => `/downloads/${id}` }],
  ['createDeletion', { on: 'ready', path: () => '/deletions', body: id => ({ fileId: id }) }],
  ['getFile', { on: 'ready', path: id => `/files/${id}` }],
  ['updateFile', { on: 'ready', path: id => `/files/${id}`, body: () => ({ filename: 'stolen.png' }) }],
  ['deleteFile', { on: 'ready', path: id => `/files/${id}` }]
])
const NAMES_NONE = new Map([['listFiles', '/files'], ['listPolicies', '/policies'], ['getUsage', '/usage'], ['createUploads', '/uploads/batch'], ['listWebhookDeliveries', '/webhook-deliveries'], ['replayWebhookDelivery', '/webhook-deliveries/0b8a4c1e-2f0d-4b7e-9a51-6f2b8f5c1a77/replay']])
const OPEN_TO_ALL = ['getLiveness', 'getReadiness']

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE'
const description = parse(readFileSync('openapi.yaml', 'utf8')) as { paths: Record<string, Record<string, { operationId: string }>> }
const methods = new Map(Object.values(description.paths).flatMap(path => Object.entries(path).map(([method, { operationId }]) => [operationId, method.toUpperCase() as Method] as const)))

t.test('T8: every operation is in a table here', async t => {
  t.same([...methods.keys()].sort(), [...NAMES_A_FILE.keys(), ...NAMES_NONE.keys(), ...OPEN_TO_ALL].sort())
})

const s3 = await startTestS3(t)
for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  let storeCalls = 0
  const service = await startService(t, s3, {
    engine,
    policies: POLICIES.replace('quota: { files: 10, bytes: 5000, pending: 5 }', ''),
    env: { JWT_TENANT_CLAIM: 'tenant' },
    adapt: services => ({
      ...services,
      objectStorage: new Proxy(services.objectStorage, {
        get (target, name, receiver) {
          storeCalls++
          return Reflect.get(target, name, receiver)
        }
      })
    })
  })
  const { call, token, services } = service
  const owner = await token('ada', { tenant: 'red' })
  const picture = png()
  const row = async (id: string) => await services.database.selectFrom('files').selectAll().where('id', '=', id).executeTakeFirst()

  const strangers: ReadonlyArray<[name: string, token: string | undefined, status: number]> = [
    ['another user', await token('eve', { tenant: 'red' }), 404],
    ['the same user of another tenant', await token('ada', { tenant: 'blue' }), 404],
    ['an administrator of another tenant', await token('root', { tenant: 'blue', scope: 'files:admin' }), 404],
    ['a user with a scope that only looks like the administrator\'s', await token('eve', { tenant: 'red', scope: 'files:administrator files' }), 404],
    ['nobody', undefined, 401]
  ]

  for (const [operationId, { on, path, body }] of NAMES_A_FILE) {
    const method = methods.get(operationId) as Method
    for (const [name, stranger, status] of strangers) {
      t.test(`T8 T11: ${operationId} as ${name} is ${status}, and nothing happens`, async t => {
        const policy = on === 'parts' ? { policy: 'parts', method: 'multipart' } : { policy: 'few' }
        const begun = (await call('POST', '/uploads', { token: owner, body: { ...policy, filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length } })).json()
        const { id } = begun.file
        if (on !== 'parts') await send(begun.upload, picture)
        if (on === 'ready') await call('POST', `/uploads/${id}/complete`, { token: owner })
        const before = await row(id)
        storeCalls = 0
        const attempt = async (id: string) => await call(method, path(id), { token: stranger, ...(body && { body: body(id) }) })
        const reply = await attempt(id)
        t.equal(reply.statusCode, status, reply.body)
        t.equal(storeCalls, 0, 'the store is not asked and nothing is signed')
        t.strictSame(await row(id), before, 'the row is as it was')
        const unknown = await attempt('00000000-0000-4000-8000-000000000000')
        t.strictSame({ ...reply.json(), requestId: '' }, { ...unknown.json(), requestId: '' }, 'and it cannot be told from a file that does not exist')
        t.ok((await call(method, path(id), { token: owner, ...(body && { body: body(id) }) })).statusCode < 400, 'while its owner may')
      })
    }
  }

  for (const [operationId, path] of NAMES_NONE) {
    t.test(`${operationId} needs a token`, async t => {
      t.equal((await call(methods.get(operationId) as Method, path)).statusCode, 401)
    })
  }

  t.test('a list shows nothing of others', async t => {
    for (const [, stranger] of strangers.slice(0, 4)) {
      for (const status of ['ready', 'pending']) t.strictSame((await call('GET', `/files?status=${status}`, { token: stranger })).json().data, [])
    }
    t.ok((await call('GET', '/files', { token: owner })).json().data.length > 0)
  })
}
