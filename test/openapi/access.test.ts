import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { png } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { ENGINES, POLICIES, startService, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'

/** All the names that a file of the victim goes by. */
interface Target { readonly id: string, readonly key: string, readonly uploadId: string, readonly etag: string }
interface Attempt {
  /** What of the victim is tried: a file that is ready, one whose bytes have arrived but that is not completed, one in parts, one of an Uppy client, one that is scanned, or an upload ticket. */
  readonly on: 'ready' | 'pending' | 'parts' | 'uppy' | 'scanning' | 'ticket'
  readonly path: (target: Target) => string
  readonly body?: (target: Target) => unknown
}

const uppyPath = ({ uploadId, key }: Target, what = '', query = '') => `/uppy/parts/s3/multipart/${encodeURIComponent(uploadId)}${what}?${new URLSearchParams({ key })}${query}`

/**
 * How each operation that names a file is tried as someone else. An operation of openapi.yaml that is in
 * none of the tables fails the test: a new route cannot come without its entry.
 */
const NAMES_A_FILE: ReadonlyMap<string, Attempt> = new Map<string, Attempt>([
  ['createUpload', { on: 'ready', path: () => '/uploads', body: ({ id }) => ({ policy: 'few', filename: 'a.png', contentType: 'image/png', sizeBytes: 1, replaces: id }) }],
  ['getUpload', { on: 'pending', path: ({ id }) => `/uploads/${id}` }],
  ['signUploadParts', { on: 'parts', path: ({ id }) => `/uploads/${id}/parts`, body: () => ({ partNumbers: [1] }) }],
  ['completeUpload', { on: 'pending', path: ({ id }) => `/uploads/${id}/complete`, body: () => ({}) }],
  ['abortUpload', { on: 'pending', path: ({ id }) => `/uploads/${id}` }],
  ['createDownload', { on: 'ready', path: () => '/downloads', body: ({ id }) => ({ fileId: id }) }],
  ['redirectToDownload', { on: 'ready', path: ({ id }) => `/downloads/${id}` }],
  ['createDeletion', { on: 'ready', path: () => '/deletions', body: ({ id }) => ({ fileId: id }) }],
  ['getFile', { on: 'ready', path: ({ id }) => `/files/${id}` }],
  ['updateFile', { on: 'ready', path: ({ id }) => `/files/${id}`, body: () => ({ filename: 'stolen.png' }) }],
  ['deleteFile', { on: 'ready', path: ({ id }) => `/files/${id}` }],
  ['signUppyPart', { on: 'uppy', path: target => uppyPath(target, '/1') }],
  ['signUppyParts', { on: 'uppy', path: target => uppyPath(target, '/batch', '&partNumbers=1') }],
  ['listUppyParts', { on: 'uppy', path: target => uppyPath(target) }],
  ['completeUppyUpload', { on: 'uppy', path: target => uppyPath(target, '/complete'), body: ({ etag }) => ({ parts: [{ PartNumber: 1, ETag: etag }] }) }],
  ['abortUppyUpload', { on: 'uppy', path: target => uppyPath(target) }],
  ['revokeTicket', { on: 'ticket', path: ({ id }) => `/uploads/tickets/${id}` }]
])
/** What a scope opens for the files of every owner of a tenant: who lacks it is told so, whatever the id. */
const NAMES_A_FILE_BY_SCOPE: ReadonlyMap<string, Attempt & { readonly scope: string }> = new Map([
  ['submitVerdict', { on: 'scanning', scope: 'files:scan', path: ({ id }) => `/files/${id}/verdict`, body: () => ({ verdict: 'clean' }) }]
])
const NAMES_NONE = new Map([
  ['listFiles', '/files'], ['listPolicies', '/policies'], ['getUsage', '/usage'], ['createUploads', '/uploads/batch'], ['createTicket', '/uploads/tickets'], ['listTickets', '/uploads/tickets'],
  ['beginUppyUpload', '/uppy/parts/s3/params'], ['beginUppyMultipart', '/uppy/parts/s3/multipart'], ['presignUppyRequest', '/uppy/parts/s3/presign'],
  ['listWebhookDeliveries', '/webhook-deliveries'], ['replayWebhookDelivery', '/webhook-deliveries/0b8a4c1e-2f0d-4b7e-9a51-6f2b8f5c1a77/replay']
])
/** Tried in test/events. */
const HAS_A_SECRET_OF_ITS_OWN = ['receiveBucketEvents']
const OPEN_TO_ALL = ['getLiveness', 'getReadiness']

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE'
const description = parse(readFileSync('openapi.yaml', 'utf8')) as { paths: Record<string, Record<string, { operationId: string }>> }
const methods = new Map(Object.values(description.paths).flatMap(path => Object.entries(path).map(([method, { operationId }]) => [operationId, method.toUpperCase() as Method] as const)))

t.test('T8: every operation is in a table here', async t => {
  t.same([...methods.keys()].sort(), [...NAMES_A_FILE.keys(), ...NAMES_A_FILE_BY_SCOPE.keys(), ...NAMES_NONE.keys(), ...HAS_A_SECRET_OF_ITS_OWN, ...OPEN_TO_ALL].sort())
})

const s3 = await startTestS3(t)
for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  let storeCalls = 0
  const service = await startService(t, s3, {
    engine,
    policies: `${POLICIES.replace('quota: { files: 10, bytes: 5000, pending: 5 }', '')}  scanned: { contentTypes: [image/png], maxSize: 1000, key: "scanned/{fileId}", scan: { deadlineSeconds: 3600 } }\n`,
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

  async function createFile (policy: object) {
    const begun = (await call('POST', '/uploads', { token: owner, body: { ...policy, filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length } })).json()
    return { ...begun.file, uploadId: 'none', etag: '', upload: begun.upload }
  }
  const victims: Readonly<Record<Attempt['on'], () => Promise<Target>>> = {
    async ready () {
      const file = await createFile({ policy: 'few' })
      await send(file.upload, picture)
      await call('POST', `/uploads/${file.id}/complete`, { token: owner })
      return file
    },
    async scanning () {
      const file = await createFile({ policy: 'scanned' })
      await send(file.upload, picture)
      await call('POST', `/uploads/${file.id}/complete`, { token: owner })
      return file
    },
    async pending () {
      const file = await createFile({ policy: 'few' })
      await send(file.upload, picture)
      return file
    },
    parts: async () => await createFile({ policy: 'parts', method: 'multipart' }),
    async uppy () {
      const begun = (await call('POST', '/uppy/parts/s3/multipart', { token: owner, body: { filename: 'a.png', type: 'image/png' } })).json()
      const target = { ...begun, id: begun.key.split('/').at(-1) }
      const { url } = (await call('GET', uppyPath(target, '/1'), { token: owner })).json()
      return { ...target, etag: (await send({ method: 'PUT', url, headers: {} }, picture)).headers['etag'] }
    },
    async ticket () {
      const { ticket } = (await call('POST', '/uploads/tickets', { token: owner, body: { policy: 'few' } })).json()
      return { id: ticket.id, key: '', uploadId: '', etag: '' }
    }
  }

  for (const [operationId, { on, path, body }] of NAMES_A_FILE) {
    const method = methods.get(operationId) as Method
    for (const [name, stranger, status] of strangers) {
      t.test(`T8 T11: ${operationId} as ${name} is ${status}, and nothing happens`, async t => {
        const target = await victims[on]()
        const before = await row(target.id)
        storeCalls = 0
        const attempt = async (target: Target) => await call(method, path(target), { token: stranger, ...(body && { body: body(target) }) })
        const reply = await attempt(target)
        t.equal(reply.statusCode, status, reply.body)
        t.equal(storeCalls, 0, 'the store is not asked and nothing is signed')
        t.strictSame(await row(target.id), before, 'the row is as it was')
        const unknown = await attempt({ id: '00000000-0000-4000-8000-000000000000', key: 'parts/none', uploadId: 'none', etag: '"0"' })
        t.strictSame({ ...reply.json(), requestId: '' }, { ...unknown.json(), requestId: '' }, 'and it cannot be told from a file that does not exist')
        t.ok((await call(method, path(target), { token: owner, ...(body && { body: body(target) }) })).statusCode < 400, 'while its owner may')
      })
    }
  }

  for (const [operationId, { on, path, body, scope }] of NAMES_A_FILE_BY_SCOPE) {
    const method = methods.get(operationId) as Method
    const unknown = { id: '00000000-0000-4000-8000-000000000000', key: '', uploadId: '', etag: '' }
    for (const [name, stranger, status] of [
      ['its owner, without the scope', owner, 403],
      ['a user with a scope that only looks like it', await token('eve', { tenant: 'red', scope: `${scope}ner` }), 403],
      ['one with the scope, of another tenant', await token('eve', { tenant: 'blue', scope }), 404],
      ['an administrator of another tenant', await token('root', { tenant: 'blue', scope: 'files:admin' }), 404],
      ['nobody', undefined, 401]
    ] as const) {
      t.test(`T8 T11: ${operationId} as ${name} is ${status}, and nothing happens`, async t => {
        const target = await victims[on]()
        const before = await row(target.id)
        storeCalls = 0
        const attempt = async (target: Target) => await call(method, path(target), { token: stranger, ...(body && { body: body(target) }) })
        const reply = await attempt(target)
        t.equal(reply.statusCode, status, reply.body)
        t.equal(storeCalls, 0)
        t.strictSame(await row(target.id), before, 'the row is as it was')
        t.strictSame({ ...reply.json(), requestId: '' }, { ...(await attempt(unknown)).json(), requestId: '' })
        t.equal((await call(method, path(target), { token: await token('eve', { tenant: 'red', scope }), ...(body && { body: body(target) }) })).statusCode, 200, 'while the scope opens it')
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
