import t, { type Test } from 'tap'
import { png } from '../helpers/samples.js'
import { s3Code, send, type Presigned } from '../helpers/send.js'
import { ENGINES, startService, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'

interface Deletion extends Presigned { readonly expiresAt: string }

const s3 = await startTestS3(t)
const picture = png()

for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  const { call, token, services, bucket } = await startService(t, s3, { engine })
  const ada = await token('ada')
  const grace = await token('grace')

  async function create (policy = 'few', as = ada) {
    const reply = await call('POST', '/uploads', { token: as, body: { policy, filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length } })
    t.equal(reply.statusCode, 201, reply.body)
    return reply.json()
  }
  async function upload (policy = 'few', as = ada): Promise<{ id: string, key: string }> {
    const { file, upload } = await create(policy, as)
    t.equal((await send(upload, picture)).status, 200)
    const completed = await call('POST', `/uploads/${file.id}/complete`, { token: as, body: {} })
    t.equal(completed.statusCode, 200, completed.body)
    return completed.json().file
  }
  const sign = async (fileId: string, as = ada) => await call('POST', '/deletions', { token: as, body: { fileId } })
  const read = async (id: string, as = ada) => (await call('GET', `/files/${id}`, { token: as })).statusCode
  const stored = async (key: string) => await services.objectStorage.headObject({ bucket, key }) !== null
  const row = async (id: string) => await services.database.selectFrom('files').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
  async function filesHeld (as: string): Promise<number> {
    const { data } = (await call('GET', '/usage', { token: as })).json() as { data: Array<{ policy: string, files: number }> }
    return data.find(entry => entry.policy === 'few')?.files ?? 0
  }

  t.test('T26: a policy that does not say so hands out no URL to delete with, and the file stays', async t => {
    const { id } = await upload('pictures')
    t.match((await sign(id)).json(), { status: 403, code: 'POLICY_FORBIDDEN' })
    t.equal(await read(id), 200)
  })

  t.test('T26: the file is gone and its quota given back before the URL is used; used twice, it answers 204 twice', async t => {
    const tia = await token('tia')
    const { id, key } = await upload('few', tia)
    const reply = await sign(id, tia)
    t.equal(reply.statusCode, 201, reply.body)
    t.equal(reply.headers['cache-control'], 'no-store')
    const { deletion } = reply.json() as { deletion: Deletion }
    t.equal(deletion.method, 'DELETE')
    t.equal(await read(id, tia), 404)
    t.equal((await call('GET', '/files', { token: tia })).json().data.length, 0)
    t.equal((await call('POST', '/downloads', { token: tia, body: { fileId: id } })).statusCode, 404)
    t.equal(await filesHeld(tia), 0)
    t.ok(await stored(key), 'the object is there until someone uses the URL')

    t.equal((await send(deletion)).status, 204)
    t.notOk(await stored(key))
    t.equal((await send(deletion)).status, 204)
    t.match((await sign(id, tia)).json(), { status: 404, code: 'FILE_NOT_FOUND' }, 'there is no second URL')
  })

  t.test('T26 I1: the tombstone waits for the sweeper, and knows how long the URL lives', async t => {
    const { id } = await upload()
    // As when all upload URLs have ended long ago.
    await services.database.updateTable('files').set({ url_deadline: 0 }).where('id', '=', id).execute()
    const { deletion } = (await sign(id)).json() as { deletion: Deletion }
    const { status, url_deadline: deadline, next_check_at: nextCheckAt, purged_at: purgedAt } = await row(id)
    t.equal(status, 'deleted')
    t.ok(deadline >= Date.parse(deletion.expiresAt), `${deadline} covers ${deletion.expiresAt}`)
    t.type(nextCheckAt, 'number')
    t.equal(purgedAt, null)
  })

  t.test('the deadline of an upload URL that lives longer is kept', async t => {
    const { id } = await upload()
    const later = Date.now() + 10 * 3_600_000
    await services.database.updateTable('files').set({ url_deadline: later }).where('id', '=', id).execute()
    await sign(id)
    t.equal((await row(id)).url_deadline, later)
  })

  t.test('T26: the URL deletes this object alone, and reads and writes nothing', async t => {
    const { id, key } = await upload()
    const { id: other, key: otherKey } = await upload()
    const { deletion } = (await sign(id)).json() as { deletion: Deletion }
    for (const method of ['GET', 'PUT']) {
      const sent = await send({ ...deletion, method }, method === 'PUT' ? picture : undefined)
      t.match({ status: sent.status, code: s3Code(sent) }, { status: 403, code: 'SignatureDoesNotMatch' }, method)
    }
    t.equal((await send({ ...deletion, url: deletion.url.replace(key, otherKey) })).status, 403)
    t.ok(await stored(key))
    t.ok(await stored(otherKey))
    t.equal(await read(other), 200)
  })

  t.test('T8: another user is told that there is no such file, and nothing happens', async t => {
    const { id } = await upload()
    const foreign = await sign(id, grace)
    const unknown = await sign('00000000-0000-4000-8000-000000000000', grace)
    t.match(foreign.json(), { status: 404, code: 'FILE_NOT_FOUND' })
    t.strictSame({ ...foreign.json(), requestId: '' }, { ...unknown.json(), requestId: '' })
    t.equal(await read(id), 200)
    t.equal((await sign(id, await token('root', { scope: 'files:admin' }))).statusCode, 201, 'an administrator may')
  })

  t.test('an upload that is not complete cannot be deleted this way', async t => {
    const { file } = await create()
    t.match((await sign(file.id)).json(), { status: 409, code: 'FILE_NOT_READY' })
    t.equal(await read(file.id), 200)
  })

  t.test('of ten at once, one gets a URL', async t => {
    const { id } = await upload()
    const replies = await Promise.all(Array.from({ length: 10 }, async () => await sign(id)))
    t.strictSame(replies.map(reply => reply.statusCode).sort(), [201, 404, 404, 404, 404, 404, 404, 404, 404, 404])
  })
}
