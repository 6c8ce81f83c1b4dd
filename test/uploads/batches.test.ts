import { PassThrough } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { ApiError } from '../../src/errors.js'
import { png, sha256Base64 } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { ENGINES, startService, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'

type Item = { readonly file: { readonly id: string, readonly filename: string }, readonly problem?: never } | { readonly problem: { readonly code: string, readonly status: number }, readonly file?: never }

const s3 = await startTestS3(t)
const picture = png()
const few = { policy: 'few', filename: 'a.png', contentType: 'image/png', sizeBytes: 100 }
const pictureBody = { ...few, policy: 'pictures', sizeBytes: picture.length }

for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  const { app, call, token, services } = await startService(t, s3, { engine })
  const ada = await token('ada')
  const batch = async (uploads: readonly unknown[], as = ada) => await call('POST', '/uploads/batch', { token: as, body: { uploads } })
  const outcomes = (reply: Awaited<ReturnType<typeof batch>>) => (reply.json().data as Item[]).map(item => item.problem?.code ?? item.file?.filename)

  t.test('each upload of a batch answers for itself, in the order asked', async t => {
    const reply = await batch([
      { ...pictureBody, filename: '0.png' },
      { ...pictureBody, policy: 'nope' },
      { ...pictureBody, filename: '2.png', checksumSha256: sha256Base64(picture) },
      { ...pictureBody, sizeBytes: 1024 ** 2 + 1 },
      { ...pictureBody, contentType: 'image/gif' },
      { ...pictureBody, policy: 'reports', contentType: 'application/pdf' },
      { ...pictureBody, replaces: 'nothing' },
      { ...pictureBody, policy: 'forms', filename: '7.png' },
      { ...few, filename: '8.png' },
      { ...pictureBody, policy: 'parts', sizeBytes: 6_000_000, filename: '9.png' }
    ])
    t.equal(reply.statusCode, 200, reply.body)
    t.equal(reply.headers['cache-control'], 'no-store')
    t.strictSame(outcomes(reply), ['0.png', 'POLICY_NOT_FOUND', '2.png', 'FILE_TOO_LARGE', 'CONTENT_TYPE_NOT_ALLOWED', 'SCOPE_MISSING', 'FILE_NOT_FOUND', '7.png', '8.png', '9.png'])
    const { data } = reply.json()
    t.match(data[1].problem, { type: String, title: String, status: 404, detail: String, requestId: reply.headers['x-request-id'] })
    t.strictSame(data.flatMap((item: { upload?: { method: string } }) => item.upload?.method ?? []), ['PUT', 'PUT', 'POST', 'PUT', 'multipart'])
    for (const index of [0, 2]) {
      t.equal((await send(data[index].upload, picture)).status, 200)
      t.equal((await call('POST', `/uploads/${data[index].file.id}/complete`, { token: ada, body: {} })).statusCode, 200)
    }
    t.equal((await services.database.selectFrom('files').select('id').where('owner', '=', 'ada').execute()).length, 5, 'what was refused left no row')
  })

  t.test('of uploads in parts four are begun at a time, each fails alone, and the order stays, also when the store answers in another one', async t => {
    const waiting: Array<() => void> = []
    let asked = 0
    const log = new PassThrough()
    const slow = await startService(t, s3, {
      engine,
      logTo: log,
      adapt: services => ({
        ...services,
        objectStorage: {
          ...services.objectStorage,
          async createMultipartUpload (...options) {
            const isBroken = asked++ === 5
            await new Promise<void>(resolve => { waiting.push(resolve) })
            if (isBroken) throw new ApiError('OBJECT_STORAGE_ERROR', 'The store does not answer.')
            return await services.objectStorage.createMultipartUpload(...options)
          }
        }
      })
    })
    const uploads = Array.from({ length: 20 }, (_, index) => ({ ...pictureBody, policy: 'parts', sizeBytes: 6_000_000, filename: `${index}.png` }))
    const replying = slow.call('POST', '/uploads/batch', { token: await slow.token('ada'), body: { uploads } })
    for (let answered = 0; answered < uploads.length; answered += 4) {
      while (waiting.length < 4) await nextTurn()
      t.equal(asked, answered + 4)
      for (const answer of waiting.splice(0).reverse()) answer()
    }
    const reply = await replying
    const names = outcomes(reply)
    t.strictSame(names, uploads.map(({ filename }, index) => index === 5 ? 'OBJECT_STORAGE_ERROR' : filename))
    t.strictSame((await slow.services.database.selectFrom('usage').select('files').execute()).map(row => ({ ...row })), [{ files: 19 }])
    t.match(String(log.read()), /"level":50.*"code":"OBJECT_STORAGE_ERROR"/, 'which an operator hears of')
  })

  t.test('T31: the quota is decided upload by upload within one batch', async t => {
    const eve = await token('eve')
    const reply = await batch(Array.from({ length: 12 }, (_, index) => ({ ...few, filename: `${index}.png` })), eve)
    t.strictSame(outcomes(reply), ['0.png', '1.png', '2.png', '3.png', '4.png', ...Array.from({ length: 7 }, () => 'QUOTA_EXCEEDED')])
    t.strictSame((await services.database.selectFrom('usage').select(['files', 'bytes', 'pending']).where('owner', '=', 'eve').execute()).map(row => ({ ...row })), [{ files: 5, bytes: 500, pending: 5 }])
    t.equal((await services.database.selectFrom('files').select('id').where('owner', '=', 'eve').execute()).length, 5)
  })

  t.test('T31: what does not fit leaves room for a smaller one after it', async t => {
    const max = await token('max')
    const sizes = [1000, 1000, 1000, 1000]
    const full = await batch(sizes.map(sizeBytes => ({ ...few, sizeBytes })), max)
    for (const { file } of full.json().data) {
      const { upload } = (await call('GET', `/uploads/${file.id}`, { token: max })).json()
      await send(upload, Buffer.concat([picture, Buffer.alloc(1000)]).subarray(0, 1000))
      t.equal((await call('POST', `/uploads/${file.id}/complete`, { token: max, body: {} })).statusCode, 200)
    }
    t.strictSame(outcomes(await batch([600, 600, 300, 200, 100].map((sizeBytes, index) => ({ ...few, sizeBytes, filename: `${index}.png` })), max)), ['0.png', 'QUOTA_EXCEEDED', '2.png', 'QUOTA_EXCEEDED', '4.png'])
  })

  t.test('T31: batches of two policies at once, in opposite order, do not wait for each other for ever', async t => {
    const owners = ['lou', 'kim']
    for (let round = 0; round < 20; round++) {
      const as = await token(owners[round % 2] ?? '')
      const order = [few, pictureBody]
      const replies = await Promise.all(Array.from({ length: 4 }, async (_, index) => await batch(index % 2 === 0 ? order : [...order].reverse(), as)))
      t.strictSame(replies.map(reply => reply.statusCode), [200, 200, 200, 200], `round ${round}`)
    }
    for (const owner of owners) {
      const held = await services.database.selectFrom('usage').select(['policy', 'files']).where('owner', '=', owner).orderBy('policy').execute()
      t.strictSame(held.map(row => ({ ...row })), [{ policy: 'few', files: 5 }, { policy: 'pictures', files: 40 }])
    }
  })

  t.test('a batch of 100 is taken, and one of 101 or of none is not', async t => {
    const uploads = Array.from({ length: 101 }, () => pictureBody)
    const reply = await batch(uploads.slice(1))
    t.equal(reply.statusCode, 200)
    t.ok(reply.json().data.every((item: Item) => item.file))
    t.equal(new Set(reply.json().data.map((item: Item) => item.file?.id)).size, 100)
    for (const wrong of [uploads, []]) t.match((await batch(wrong)).json(), { status: 400, code: 'INVALID_REQUEST' })
  })

  t.test('one upload that is not written as one fails the batch, which then makes nothing', async t => {
    const zoe = await token('zoe')
    const reply = await batch([few, { ...few, sizeBytes: 'many' }], zoe)
    t.match(reply.json(), { status: 400, code: 'INVALID_REQUEST', errors: [{ path: '/uploads/1/sizeBytes' }] })
    t.equal((await services.database.selectFrom('files').select('id').where('owner', '=', 'zoe').execute()).length, 0)
  })

  t.test('of a body with thousands of errors the first one is told, of a small one all', async t => {
    const errorsOf = async (uploads: readonly unknown[]) => (await batch(uploads)).json().errors as Array<{ path: string, message: string }>
    t.strictSame((await errorsOf([{ ...few, more: 1 }, { policy: 'few' }])).map(({ path }) => path), ['/uploads/0/more', '/uploads/1/filename', '/uploads/1/contentType'])
    t.strictSame(await errorsOf(Array.from({ length: 26_000 }, () => ({ a: 1, b: { c: [] } }))), [{ path: '/uploads', message: 'must NOT have more than 100 items' }])
    t.equal((await errorsOf([few, Object.fromEntries(Array.from({ length: 50_000 }, (_, index) => [`name-${index}`, 1]))])).length, 1)
  })

  t.test('a body of up to 1 MiB is taken', async t => {
    const sized = (bytes: number) => {
      const body = JSON.stringify({ uploads: Array.from({ length: 100 }, () => ({ ...pictureBody, metadata: Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`name-${index}`, 'v'.repeat(300)])) })) })
      return body + ' '.repeat(bytes - Buffer.byteLength(body))
    }
    const raw = async (payload: string) => await app.inject({ method: 'POST', url: '/uploads/batch', payload, headers: { authorization: `Bearer ${ada}`, 'content-type': 'application/json' } })
    t.equal((await raw(sized(1024 ** 2))).statusCode, 200)
    t.match((await raw(sized(1024 ** 2 + 1))).json(), { status: 413, code: 'BODY_TOO_LARGE' })
  })

  t.test('a batch of 100 keeps the service answering', async t => {
    const uploads = Array.from({ length: 100 }, () => ({ ...pictureBody, checksumSha256: sha256Base64(picture), metadata: { album: 'summer' } }))
    for (let warm = 0; warm < 5; warm++) await batch(uploads)
    const longest = []
    for (let round = 0; round < 5; round++) {
      const probe = { isOver: false, gap: 0 }
      const probing = (async () => {
        for (let last = performance.now(); !probe.isOver; last = performance.now()) {
          await nextTurn()
          probe.gap = Math.max(probe.gap, performance.now() - last)
        }
      })()
      t.equal((await batch(uploads)).statusCode, 200)
      probe.isOver = true
      await probing
      longest.push(probe.gap)
    }
    t.comment(`${engine}: the longest turn of the event loop in five batches of 100, in ms: ${longest.map(gap => gap.toFixed(1)).join(', ')}`)
  })
}
