import t, { type Test } from 'tap'
import { ENGINES, startService, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { idOf, POLICIES, uppyClient, type Begun, type UppyPart } from './fixtures/uppy-client.js'

const s3 = await startTestS3(t)
const bytes = Buffer.from('the bytes of ada')
for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

/** Every request that names an upload. */
const REQUESTS = ['sign', 'batch', 'list', 'complete', 'abort'] as const

async function suite (t: Test, engine: Engine): Promise<void> {
  let storeCalls = 0
  const service = await startService(t, s3, {
    engine,
    policies: POLICIES,
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
  const body = { filename: 'a.bin', type: 'application/octet-stream', metadata: {} }
  const ada = await token('ada', { tenant: 'red' })
  const eve = await token('eve', { tenant: 'red' })
  const ticketOf = async (token: string, policy = 'binaries') => (await call('POST', '/uploads/tickets', { token, body: { policy } })).json().ticket.endpoint as string
  const row = async (begun: Begun) => await services.database.selectFrom('files').selectAll().where('id', '=', idOf(begun)).executeTakeFirst()
  const ask = async (client: ReturnType<typeof uppyClient>, request: typeof REQUESTS[number], begun: Begun, parts: readonly UppyPart[]) => {
    switch (request) {
      case 'sign': return await client.sign(begun, 1)
      case 'batch': return await client.batch(begun, '1,2')
      case 'list': return await client.list(begun)
      case 'complete': return await client.complete(begun, parts)
      case 'abort': return await client.abort(begun)
    }
  }

  const mounts: ReadonlyArray<[name: string, victim: () => Promise<ReturnType<typeof uppyClient>>, stranger: (token: string, policy?: string) => Promise<ReturnType<typeof uppyClient>>]> = [
    ['with a token', async () => uppyClient(service, { path: '/uppy/binaries', token: ada }), async (token, policy = 'binaries') => uppyClient(service, { path: `/uppy/${policy}`, token })],
    ['with a ticket', async () => uppyClient(service, { path: await ticketOf(ada) }), async (token, policy) => uppyClient(service, { path: await ticketOf(token, policy) })]
  ]
  for (const [name, victim, stranger] of mounts) {
    t.test(name, async t => {
      const own = await victim()
      const strangers: ReadonlyArray<[name: string, client: ReturnType<typeof uppyClient>]> = [
        ['another user', await stranger(eve)],
        ['the same user of another tenant', await stranger(await token('ada', { tenant: 'blue' }))],
        ['an administrator of the same tenant', await stranger(await token('root', { tenant: 'red', scope: 'files:admin' }))],
        ['the same user under another policy', await stranger(ada, 'pictures')]
      ]
      const foreign: Begun = (await strangers[0]![1].begin(body)).json()
      const unknown: Begun = { key: 'binaries/00000000-0000-4000-8000-000000000000', uploadId: 'none', bucket: service.bucket }

      for (const request of REQUESTS) {
        t.test(`T9: ${request} finds an upload by both of its names and its owner alone`, async t => {
          const begun: Begun = (await own.begin(body)).json()
          const parts = [await own.put(begun, 1, bytes)]
          const before = await row(begun)
          storeCalls = 0
          const expected = { ...(await ask(own, request, unknown, parts)).json(), requestId: '' }
          t.match(expected, { status: 404, code: 'UPLOAD_NOT_FOUND' })
          const attempts: ReadonlyArray<[name: string, client: ReturnType<typeof uppyClient>, begun: Begun]> = [
            ...strangers.map(([name, client]) => [`as ${name}`, client, begun] as const).map(attempt => [...attempt] as [string, ReturnType<typeof uppyClient>, Begun]),
            ['as another user with the other\'s key', strangers[0]![1], { ...begun, key: foreign.key }],
            ['as its owner with another\'s key', own, { ...begun, key: foreign.key }],
            ['as its owner with another\'s uploadId', own, { ...begun, uploadId: foreign.uploadId }],
            ['as its owner with the key of nothing', own, { ...begun, key: `${begun.key}x` }],
            ['as its owner with the start of the uploadId', own, { ...begun, uploadId: begun.uploadId.slice(0, -1) }],
            ['as its owner with a key that leads back to it', own, { ...begun, key: `x/../${begun.key}` }]
          ]
          for (const [name, client, tried] of attempts) {
            const reply = await ask(client, request, tried, parts)
            t.equal(reply.statusCode, 404, `${name}: ${reply.body}`)
            t.strictSame({ ...reply.json(), requestId: '' }, expected, `T11: ${name}, it cannot be told from an upload that does not exist`)
          }
          t.equal(storeCalls, 0, 'the store is not asked and nothing is signed')
          t.strictSame(await row(begun), before, 'the row is as it was')
          t.equal((await ask(own, request, begun, parts)).statusCode, 200, 'while its owner may')
          if (request !== 'abort') t.match((await own.complete(begun, parts)).json(), { file: { status: 'ready', owner: 'ada' } })
        })
      }
    })
  }

  const addresses: ReadonlyArray<[method: 'GET' | 'POST' | 'DELETE', path: string]> = [
    ['GET', '/s3/params?filename=a'], ['POST', '/s3/multipart'], ['GET', '/s3/multipart/u/1?key=k'], ['GET', '/s3/multipart/u/batch?key=k&partNumbers=1'],
    ['GET', '/s3/multipart/u?key=k'], ['POST', '/s3/multipart/u/complete?key=k'], ['DELETE', '/s3/multipart/u?key=k'], ['POST', '/s3/presign'], ['GET', '/s3/sts']
  ]
  for (const mount of ['/uppy/binaries', '/uppy/tickets/none', '/uppy/tickets/%00', `/uppy/tickets/${'a'.repeat(43)}`]) {
    t.test(`T8: nobody gets nothing at ${mount}`, async t => {
      for (const [method, path] of addresses) {
        const reply = await call(method, `${mount}${path}`, { ...(method === 'POST' && { body: {} }) })
        t.match(reply.json(), { status: 401, code: 'UNAUTHENTICATED', message: /\w/ }, `${method} ${path}`)
      }
    })
  }
}
