import t, { type Test } from 'tap'
import { ApiError } from '../../src/errors.js'
import type { Services } from '../../src/services.js'
import { png, sha256Base64 } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { ENGINES, POLICIES, startService, type Engine, type TestService } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'

const s3 = await startTestS3(t)
const picture = png()
const pictureBody = { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length }
const policies = `${POLICIES}
  one: { contentTypes: [image/png], maxSize: 1000, key: "one/{fileId}", quota: { files: 1 } }
  two: { contentTypes: [image/png], maxSize: 1000, key: "two/{fileId}", quota: { pending: 2 } }
`
let keys = 0
const newKey = () => `key-${++keys}`

for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  const service = await startService(t, s3, { engine, policies })
  const { call, token, services } = service
  const ada = await token('ada')
  const grace = await token('grace')

  const create = async (key: string, body: object = {}, as = ada, through: TestService = service) =>
    await through.call('POST', '/uploads', { token: as, body: { ...pictureBody, ...body }, headers: { 'idempotency-key': key } })
  const batch = async (key: string, uploads: readonly object[], as = ada, through: TestService = service) =>
    await through.call('POST', '/uploads/batch', { token: as, body: { uploads }, headers: { 'idempotency-key': key } })
  const rows = async (owner: string, policy: string) => await services.database.selectFrom('files').select(['id', 'status']).where('owner', '=', owner).where('policy', '=', policy).execute()
  async function filesHeld (as: string, policy: string): Promise<number> {
    const { data } = (await call('GET', '/usage', { token: as })).json() as { data: Array<{ policy: string, files: number }> }
    return data.find(entry => entry.policy === policy)?.files ?? 0
  }

  t.test('F2: the same key and body give the same upload again, with a fresh URL, one row and one charge', async t => {
    let clock = new Date()
    const timed = await startService(t, s3, { engine, policies, adapt: services => ({ ...services, now: () => clock }) })
    const key = newKey()
    const first = await create(key, {}, ada, timed)
    t.equal(first.statusCode, 201, first.body)
    t.equal(first.headers['idempotency-replayed'], undefined)
    clock = new Date(clock.getTime() + 300_000)
    const again = await create(key, {}, ada, timed)
    t.equal(again.statusCode, 201, again.body)
    t.equal(again.headers['idempotency-replayed'], 'true')
    t.equal(again.headers.location, first.headers.location)
    t.equal(again.json().file.id, first.json().file.id)
    t.equal(Date.parse(again.json().upload.expiresAt) - Date.parse(first.json().upload.expiresAt), 300_000)
    const row = await timed.services.database.selectFrom('files').select('url_deadline').executeTakeFirstOrThrow()
    t.ok(row.url_deadline >= Date.parse(again.json().upload.expiresAt), 'I1: the row knows of the fresh URL')
    t.strictSame((await timed.services.database.selectFrom('usage').select(['files', 'bytes', 'pending']).execute()).map(row => ({ ...row })), [{ files: 1, bytes: picture.length, pending: 1 }])
    t.equal((await send(again.json().upload, picture)).status, 200)
    t.equal((await timed.call('POST', `/uploads/${again.json().file.id}/complete`, { token: ada, body: {} })).statusCode, 200)
  })

  t.test('without a key, two requests are two uploads', async t => {
    const [one, two] = [await call('POST', '/uploads', { token: ada, body: pictureBody }), await call('POST', '/uploads', { token: ada, body: pictureBody })]
    t.not(one.json().file.id, two.json().file.id)
  })

  const others: ReadonlyArray<[name: string, body: object]> = [
    ['another file name', { filename: 'b.png' }],
    ['another size', { sizeBytes: picture.length + 1 }],
    ['another policy', { policy: 'posters' }],
    ['other metadata', { metadata: { album: 'winter' } }],
    ['no metadata', { metadata: undefined }],
    ['a checksum', { checksumSha256: sha256Base64(picture) }]
  ]
  for (const [name, body] of others) {
    t.test(`T14: the same key with ${name} is refused`, async t => {
      const key = newKey()
      const metadata = { album: 'summer' }
      t.equal((await create(key, { metadata })).statusCode, 201)
      t.match((await create(key, { metadata, ...body })).json(), { status: 422, code: 'IDEMPOTENCY_KEY_REUSED' })
      t.equal((await create(key, { metadata })).headers['idempotency-replayed'], 'true', 'and the first one is still there')
    })
  }

  t.test('the order of fields and a default that is spelled out make no other request', async t => {
    const key = newKey()
    const first = await create(key, { metadata: { a: '1', b: '2' } })
    const reversed = Object.fromEntries([...Object.entries({ ...pictureBody, method: 'auto', metadata: { b: '2', a: '1' } })].reverse())
    const again = await call('POST', '/uploads', { token: ada, body: reversed, headers: { 'idempotency-key': key } })
    t.equal(again.statusCode, 201, again.body)
    t.equal(again.json().file.id, first.json().file.id)
  })

  t.test('T14: another user, and another tenant, with the same key get uploads of their own', async t => {
    const key = newKey()
    const first = (await create(key)).json().file
    const other = await create(key, {}, grace)
    t.match(other.json(), { file: { owner: 'grace' } })
    t.not(other.json().file.id, first.id)
    t.equal(other.headers['idempotency-replayed'], undefined)
    t.equal((await create(key, { filename: 'b.png' }, await token('mona'))).statusCode, 201, 'also with another body')
    const tenants = await startService(t, s3, { engine, policies, env: { JWT_TENANT_CLAIM: 'tenant' } })
    const red = await create(key, {}, await token('ada', { tenant: 'red' }), tenants)
    const blue = await create(key, {}, await token('ada', { tenant: 'blue' }), tenants)
    t.equal(blue.statusCode, 201, blue.body)
    t.not(blue.json().file.id, red.json().file.id)
  })

  t.test('T14: a replay checks the rights anew', async t => {
    const key = newKey()
    const report = { policy: 'reports', contentType: 'application/pdf', checksumSha256: sha256Base64(picture) }
    t.equal((await create(key, report, await token('ada', { scope: 'reports:write', department: 'finance' }))).statusCode, 201)
    t.match((await create(key, report, await token('ada', { department: 'finance' }))).json(), { status: 403, code: 'SCOPE_MISSING' })
    t.match((await create(key, report, await token('ada', { scope: 'reports:write', department: 'sales' }))).json(), { status: 403, code: 'POLICY_FORBIDDEN' })
    t.equal((await batch(key, [{ ...pictureBody, ...report }], ada)).json().data[0].problem.code, 'SCOPE_MISSING')
  })

  for (const policy of ['pictures', 'one'] as const) {
    t.test(`F3: twenty creates at once with one key make one upload ${policy === 'one' ? 'where the quota has room for just one' : 'and one charge'}`, async t => {
      const owner = `racer-${policy}`
      const racer = await token(owner)
      const key = newKey()
      const replies = await Promise.all(Array.from({ length: 20 }, async () => await create(key, { policy }, racer)))
      t.strictSame([...new Set(replies.map(reply => reply.statusCode))], [201])
      t.equal(new Set(replies.map(reply => reply.json().file.id)).size, 1)
      t.equal(replies.filter(reply => reply.headers['idempotency-replayed'] === 'true').length, 19)
      t.ok(replies.every(reply => typeof reply.json().upload.url === 'string'))
      t.equal((await rows(owner, policy)).length, 1)
      t.equal(await filesHeld(racer, policy), 1)
    })
  }

  t.test('T14: of two batches at once with one key and other bodies one makes its uploads, and the other leaves nothing behind', async t => {
    const racer = await token('batch-rival')
    const rivals = [2, 5].map(count => Array.from({ length: count }, () => ({ ...pictureBody, filename: `${count}.png` })))
    const key = newKey()
    const ask = async () => await Promise.all(rivals.map(async bodies => await batch(key, bodies, racer)))
    const first = await ask()
    t.strictSame(first.map(reply => reply.statusCode).sort(), [200, 422])
    const again = await ask()
    t.strictSame(again.map(reply => reply.statusCode), first.map(reply => reply.statusCode), 'the key is that of the first for good')
    const winner = again.findIndex(reply => reply.statusCode === 200)
    t.equal(again[winner]?.headers['idempotency-replayed'], 'true')
    t.equal(await filesHeld(racer, 'pictures'), rivals[winner]?.length)
  })

  t.test('F3: ten batches at once with one key make one set of uploads', async t => {
    const racer = await token('batch-racer')
    const key = newKey()
    const uploads = Array.from({ length: 3 }, () => ({ ...pictureBody, policy: 'two' }))
    const replies = await Promise.all(Array.from({ length: 10 }, async () => await batch(key, uploads, racer)))
    const ids = replies.map(reply => reply.json().data.map((item: { file?: { id: string } }) => item.file?.id ?? 'none').join())
    t.equal(new Set(ids).size, 1, ids[0])
    t.equal((await rows('batch-racer', 'two')).length, 2, 'as many as the quota has room for')
    t.equal(await filesHeld(racer, 'two'), 2)
  })

  t.test('F3: of two bodies that race for one key, one is refused', async t => {
    const racer = await token('rival')
    const key = newKey()
    const replies = await Promise.all(Array.from({ length: 10 }, async (_, index) => await create(key, { policy: index % 2 === 0 ? 'pictures' : 'posters' }, racer)))
    t.strictSame(replies.map(reply => reply.statusCode).sort(), [201, 201, 201, 201, 201, 422, 422, 422, 422, 422])
    t.equal((await rows('rival', 'pictures')).length + (await rows('rival', 'posters')).length, 1)
    t.equal(await filesHeld(racer, 'pictures') + await filesHeld(racer, 'posters'), 1)
  })

  t.test('a replay tells what has become of the upload', async t => {
    const key = newKey()
    const { file, upload } = (await create(key)).json()
    await send(upload, picture)
    await call('POST', `/uploads/${file.id}/complete`, { token: ada, body: {} })
    const ready = await create(key)
    t.equal(ready.statusCode, 201)
    t.match(ready.json(), { file: { id: file.id, status: 'ready' } })
    t.notOk('upload' in ready.json(), 'nothing is left to send')
    await call('DELETE', `/files/${file.id}`, { token: ada })
    t.match((await create(key)).json(), { status: 404, code: 'UPLOAD_NOT_FOUND' })

    const other = newKey()
    const { file: given } = (await create(other)).json()
    await call('DELETE', `/uploads/${given.id}`, { token: ada })
    const ended = await create(other)
    t.equal(ended.statusCode, 201)
    t.match(ended.json(), { file: { id: given.id, status: 'expired' } })
    t.notOk('upload' in ended.json())
  })

  t.test('a replay of an upload that has replaced a file answers with that file', async t => {
    const { file: old, upload: oldUpload } = (await create(newKey())).json()
    await send(oldUpload, picture)
    await call('POST', `/uploads/${old.id}/complete`, { token: ada, body: {} })
    const key = newKey()
    const { file, upload } = (await create(key, { replaces: old.id })).json()
    await send(upload, picture)
    await call('POST', `/uploads/${file.id}/complete`, { token: ada, body: {} })
    const again = await create(key, { replaces: old.id })
    t.equal(again.statusCode, 201, again.body)
    t.match(again.json(), { file: { id: old.id, status: 'ready' } })
  })

  t.test('a batch that is sent again has the same ids, and tries again only what failed', async t => {
    const owner = await token('again')
    const key = newKey()
    const uploads = [{ ...pictureBody, policy: 'two' }, { ...pictureBody, policy: 'two' }, { ...pictureBody, policy: 'two' }, { ...pictureBody, policy: 'nope' }]
    const first = await batch(key, uploads, owner)
    const idOf = (item: { file?: { id: string }, problem?: { code: string } }) => item.file?.id ?? item.problem?.code
    const [one, two, ...failed] = first.json().data.map(idOf)
    t.strictSame(failed, ['QUOTA_EXCEEDED', 'POLICY_NOT_FOUND'])
    t.strictSame((await batch(key, uploads, owner)).json().data.map(idOf), [one, two, ...failed])

    await call('DELETE', `/uploads/${one}`, { token: owner })
    const again = await batch(key, uploads, owner)
    t.equal(again.headers['idempotency-replayed'], 'true')
    const [, , three] = again.json().data.map(idOf)
    t.match(again.json().data, [{ file: { id: one, status: 'expired' } }, { file: { id: two, status: 'pending' }, upload: { method: 'PUT' } }, { file: { status: 'pending' }, upload: { method: 'PUT' } }, { problem: { code: 'POLICY_NOT_FOUND' } }])
    t.equal((await rows('again', 'two')).length, 3)
    t.strictSame((await batch(key, uploads, owner)).json().data.map(idOf), [one, two, three, 'POLICY_NOT_FOUND'])
  })

  t.test('T14: another batch under the same key is refused, of whatever length', async t => {
    const key = newKey()
    const nope = { ...pictureBody, policy: 'nope' }
    t.equal((await batch(key, [nope, nope, pictureBody])).statusCode, 200)
    for (const uploads of [[pictureBody], [pictureBody, nope, pictureBody], [nope, nope], [nope, nope, pictureBody, pictureBody]]) {
      t.match((await batch(key, uploads)).json(), { status: 422, code: 'IDEMPOTENCY_KEY_REUSED' }, String(uploads.length))
    }
    t.equal((await batch(key, [nope, nope, pictureBody])).headers['idempotency-replayed'], 'true')
  })

  t.test('a batch of which the quota takes only some is no repetition, and the same one again is', async t => {
    const key = newKey()
    const owner = await token('quota-of-a-batch')
    const uploads = Array.from({ length: 7 }, () => ({ ...pictureBody, policy: 'few', sizeBytes: 100 }))
    const [first, again] = [await batch(key, uploads, owner), await batch(key, uploads, owner)]
    for (const reply of [first, again]) t.equal(reply.json().data.filter((item: { problem?: { code: string } }) => item.problem?.code === 'QUOTA_EXCEEDED').length, 2)
    t.equal(first.headers['idempotency-replayed'], undefined)
    t.equal(again.headers['idempotency-replayed'], 'true')
  })

  t.test('a single request and a batch with the same key do not meet', async t => {
    const key = newKey()
    const single = await create(key)
    const many = await batch(key, [pictureBody])
    t.equal(many.statusCode, 200)
    t.not(many.json().data[0].file.id, single.json().file.id)
    t.equal(many.headers['idempotency-replayed'], undefined)
  })

  t.test('a request that failed leaves its key free', async t => {
    const key = newKey()
    t.equal((await create(key, { contentType: 'image/gif' })).statusCode, 415)
    t.equal((await create(key)).statusCode, 201)
  })

  const badKeys: ReadonlyArray<[name: string, key: string]> = [
    ['empty', ''], ['longer than 255', 'k'.repeat(256)], ['with a space', 'a b'], ['with a control character', 'a\u0001b'], ['with a line break', 'a\n'], ['with a tab', 'a\tb'], ['not ASCII', 'schlüssel']
  ]
  for (const [name, key] of badKeys) {
    t.test(`refuses a key that is ${name}`, async t => {
      t.match((await create(key)).json(), { status: 400, code: 'INVALID_REQUEST' })
      t.match((await batch(key, [pictureBody])).json(), { status: 400, code: 'INVALID_REQUEST' })
    })
  }

  t.test('takes a key of 255 characters, and tells keys apart to the last one and by case', async t => {
    const long = `${newKey()}${'k'.repeat(255)}`.slice(0, 254)
    const ids = new Set<string>()
    for (const key of [`${long}a`, `${long}b`, `${long}A`]) {
      const reply = await create(key)
      t.equal(reply.statusCode, 201, reply.body)
      ids.add(reply.json().file.id)
    }
    t.equal(ids.size, 3)
  })

  t.test('F28: a commit whose answer is lost: the retry finds what it made', async t => {
    let isLost = true
    const adapt = (services: Services): Services => ({
      ...services,
      files: {
        ...services.files,
        async insertPending (uploads) {
          const inserted = await services.files.insertPending(uploads)
          if (!isLost) return inserted
          isLost = false
          throw new ApiError('NOT_READY', 'The database does not answer.', { retryAfterSeconds: 2 })
        }
      }
    })
    const cut = await startService(t, s3, { engine, policies, adapt })
    const key = newKey()
    t.equal((await create(key, { policy: 'one' }, ada, cut)).statusCode, 503)
    const retry = await create(key, { policy: 'one' }, ada, cut)
    t.equal(retry.statusCode, 201, retry.body)
    t.equal(retry.headers['idempotency-replayed'], 'true')
    t.equal((await cut.services.database.selectFrom('files').select('id').execute()).length, 1)
    t.match(await cut.services.database.selectFrom('usage').select(['files', 'pending']).execute(), [{ files: 1, pending: 1 }])
  })

  const roads: ReadonlyArray<[name: string, body: object, fault: Partial<Services['objectStorage']>]> = [
    ['that cannot begin a multipart upload', { policy: 'parts', sizeBytes: 6_000_000 }, { createMultipartUpload: () => Promise.reject(outage()) }],
    ['for which no URL can be signed', {}, { presignPut: () => Promise.reject(outage()) }]
  ]
  for (const [name, body, fault] of roads) {
    t.test(`a store ${name}: the retry with the same key can send its bytes`, async t => {
      let isFaulty = true
      const flaky = await startService(t, s3, {
        engine,
        policies,
        adapt: services => ({
          ...services,
          objectStorage: new Proxy(services.objectStorage, { get: (target, name) => (isFaulty && fault[name as keyof typeof fault]) || target[name as keyof typeof target] })
        })
      })
      const key = newKey()
      t.equal((await create(key, body, ada, flaky)).statusCode, 502)
      t.equal((await batch(key, [{ ...pictureBody, ...body }], ada, flaky)).json().data[0].problem.code, 'OBJECT_STORAGE_ERROR')
      isFaulty = false
      t.match((await create(key, body, ada, flaky)).json(), { file: { status: 'pending' }, upload: { expiresAt: String } })
      t.match((await batch(key, [{ ...pictureBody, ...body }], ada, flaky)).json().data, [{ file: { status: 'pending' }, upload: { expiresAt: String } }])
    })

    t.test(`a store ${name}: without a key, nothing is held`, async t => {
      const broken = await startService(t, s3, { engine, policies, adapt: services => ({ ...services, objectStorage: { ...services.objectStorage, ...fault } }) })
      t.equal((await broken.call('POST', '/uploads', { token: ada, body: { ...pictureBody, ...body } })).statusCode, 502)
      t.match(await broken.services.database.selectFrom('usage').select(['files', 'bytes', 'pending']).execute(), [{ files: 0, bytes: 0, pending: 0 }])
    })
  }
}

function outage (): ApiError {
  return new ApiError('OBJECT_STORAGE_ERROR', 'The store is out.', { retryAfterSeconds: 5 })
}
