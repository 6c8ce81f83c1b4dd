import { PutObjectCommand, type PutObjectCommandInput } from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import { ApiError } from '../../src/errors.js'
import type { ObjectStorage } from '../../src/object-storage/object-storage.js'
import { HTML, png, sha256Base64 } from '../helpers/samples.js'
import { s3Code, send, type Presigned } from '../helpers/send.js'
import { ENGINES, startService, type Engine, type TestService } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'

interface Started { readonly file: { readonly id: string, readonly key: string, readonly status: string }, readonly upload: Presigned & { readonly expiresAt: string } }

const s3 = await startTestS3(t)
const picture = png()
const pictureBody = { policy: 'pictures', filename: 'holiday.png', contentType: 'image/png', sizeBytes: picture.length }

for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  const service = await startService(t, s3, { engine })
  const { call, token, services, bucket } = service
  const ada = await token('ada')
  const grace = await token('grace')

  async function create (body: object = {}, as = ada): Promise<Started> {
    const reply = await call('POST', '/uploads', { token: as, body: { ...pictureBody, ...body } })
    t.equal(reply.statusCode, 201, reply.body)
    return reply.json()
  }
  const complete = async (id: string, as = ada) => await call('POST', `/uploads/${id}/complete`, { token: as, body: {} })
  const storeDirectly = async (key: string, input: Partial<PutObjectCommandInput>) => {
    await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: picture, ContentType: 'image/png', ...input }))
  }
  async function problem (t: Test, reply: Awaited<ReturnType<typeof call>>, status: number, code: string): Promise<Record<string, unknown>> {
    t.equal(reply.statusCode, status, reply.body)
    t.match(reply.headers['content-type'], /^application\/problem\+json/)
    t.equal(reply.json().code, code)
    return reply.json()
  }
  const stored = async (key: string) => await services.objectStorage.headObject({ bucket, key })

  t.test('a picture goes up, is verified and has the facts of its row', async t => {
    const { file, upload } = await create({ metadata: { album: 'summer' } })
    t.match(file, { owner: 'ada', policy: 'pictures', filename: 'holiday.png', status: 'pending', bucket, sizeBytes: picture.length, metadata: { album: 'summer' } })
    t.match(file.key, new RegExp(`^pictures/ada/${file.id}\\.png$`))
    t.equal((await send(upload, picture)).status, 200)
    const reply = await complete(file.id)
    t.equal(reply.statusCode, 200)
    t.match(reply.json().file, { id: file.id, status: 'ready', etag: String, readyAt: String })
  })

  t.test('the reply of a create names its address and may not be cached', async t => {
    const reply = await call('POST', '/uploads', { token: ada, body: pictureBody })
    t.equal(reply.headers.location, `/uploads/${reply.json().file.id}`)
    t.equal(reply.headers['cache-control'], 'no-store')
    t.equal(reply.headers['referrer-policy'], 'no-referrer')
  })

  t.test('T15 T16: the signature binds exactly length, type, host and create-only, and the SHA-256 when given', async t => {
    const signed = (upload: Presigned) => new URL(upload.url).searchParams.get('X-Amz-SignedHeaders')
    const plain = await create()
    t.equal(signed(plain.upload), 'content-length;content-type;host;if-none-match')
    t.strictSame(plain.upload.headers, { 'content-type': 'image/png', 'if-none-match': '*' })
    const summed = await create({ checksumSha256: sha256Base64(picture) })
    t.equal(signed(summed.upload), 'content-length;content-type;host;if-none-match;x-amz-checksum-sha256')
    t.strictSame(summed.upload.headers, { 'content-type': 'image/png', 'if-none-match': '*', 'x-amz-checksum-sha256': sha256Base64(picture) })
    t.notMatch(plain.upload.url, /checksum|crc32/i, 'no checksum that the client did not ask for')
  })

  const tampered: ReadonlyArray<[name: string, body: Uint8Array, headers: Record<string, string | undefined>]> = [
    ['T15: another content type', picture, { 'content-type': 'text/html' }],
    ['T15: no content type', picture, { 'content-type': undefined }],
    ['T15: the content type with a parameter', picture, { 'content-type': 'image/png; charset=utf-8' }],
    ['T16: one byte more', Buffer.concat([picture, Buffer.from([0])]), {}],
    ['T16: one byte less', picture.subarray(1), {}],
    ['T16: no length at all', picture, { 'content-length': undefined, 'transfer-encoding': 'chunked' }],
    ['T24: without create-only', picture, { 'if-none-match': undefined }]
  ]
  for (const [name, body, headers] of tampered) {
    t.test(`${name} is refused by the store`, async t => {
      const { file, upload } = await create()
      const sent = await send(upload, body, headers)
      t.ok(sent.status >= 400 && sent.status < 500, `${sent.status} ${s3Code(sent)}`)
      t.equal(await stored(file.key), null, 'nothing is stored')
      t.equal((await send(upload, picture)).status, 200, 'and the honest upload still works')
    })
  }

  t.test('T24: a second PUT to the same URL is answered 412 and changes nothing', async t => {
    const { file, upload } = await create()
    t.equal((await send(upload, picture)).status, 200)
    const other = png(2)
    const again = await send(upload, other.length === picture.length ? other : picture)
    t.equal(again.status, 412)
    t.equal((await complete(file.id)).statusCode, 200)
    t.equal((await send(upload, picture)).status, 412, 'after completion too')
  })

  t.test('T10: fields that belong to the service are refused', async t => {
    for (const extra of [{ ownerId: 'eve' }, { status: 'ready' }, { objectKey: 'x' }, { bucket: 'x' }, { key: 'x' }]) {
      await problem(t, await call('POST', '/uploads', { token: ada, body: { ...pictureBody, ...extra } }), 400, 'INVALID_REQUEST')
    }
    const payload = JSON.stringify(pictureBody).replace(/}$/, ',"metadata":{"__proto__":{"a":"b"}}}')
    await problem(t, await service.app.inject({ method: 'POST', url: '/uploads', payload, headers: { 'content-type': 'application/json', authorization: `Bearer ${ada}` } }), 400, 'INVALID_REQUEST')
  })

  const refused: ReadonlyArray<[name: string, body: object, status: number, code: string]> = [
    ['an unknown policy', { policy: 'nope' }, 404, 'POLICY_NOT_FOUND'],
    ['a policy named like a property of every object', { policy: 'constructor' }, 404, 'POLICY_NOT_FOUND'],
    ['a policy whose scope the token lacks', { policy: 'reports', contentType: 'application/pdf' }, 403, 'SCOPE_MISSING'],
    ['one byte over the limit', { sizeBytes: 1024 ** 2 + 1 }, 413, 'FILE_TOO_LARGE'],
    ['a type that is not listed', { contentType: 'image/gif' }, 415, 'CONTENT_TYPE_NOT_ALLOWED'],
    ['T17: two types in one', { contentType: 'image/png, text/html' }, 415, 'CONTENT_TYPE_NOT_ALLOWED'],
    ['T17: a type with a parameter', { contentType: 'image/png;a=b' }, 415, 'CONTENT_TYPE_NOT_ALLOWED'],
    ['T17: a type in capitals', { contentType: 'IMAGE/PNG' }, 415, 'CONTENT_TYPE_NOT_ALLOWED'],
    ['T17: a line break in a type', { contentType: 'image/png\r\nx: y' }, 415, 'CONTENT_TYPE_NOT_ALLOWED'],
    ['T17: the wildcard itself', { policy: 'posters', contentType: 'image/*' }, 415, 'CONTENT_TYPE_NOT_ALLOWED'],
    ['T17: SVG under image/*', { policy: 'posters', contentType: 'image/svg+xml' }, 415, 'CONTENT_TYPE_NOT_ALLOWED'],
    ['an empty file where the policy wants a byte', { policy: 'posters', sizeBytes: 0 }, 400, 'INVALID_REQUEST'],
    ['a size as text', { sizeBytes: '10' }, 400, 'INVALID_REQUEST'],
    ['a negative size', { sizeBytes: -1 }, 400, 'INVALID_REQUEST'],
    ['a checksum that is none', { checksumSha256: 'abc' }, 400, 'INVALID_REQUEST'],
    ['a file to replace that does not exist', { replaces: 'nope' }, 404, 'FILE_NOT_FOUND']
  ]
  for (const [name, body, status, code] of refused) {
    t.test(`refuses ${name}`, async t => {
      await problem(t, await call('POST', '/uploads', { token: ada, body: { ...pictureBody, ...body } }), status, code)
    })
  }

  t.test('takes a file of exactly the limit', async t => {
    t.match((await create({ sizeBytes: 1024 ** 2 })).file, { status: 'pending' })
  })

  t.test('T18: whatever a file is called, its key is plain and browsers do not rewrite its URL', async t => {
    for (const filename of ['../../etc/passwd', '..%2f..%2fx.png', 'a\u0000b\r\nX: y.png', '\u202egnp.exe', '😀'.repeat(300), '$' + '{filename}', 'a/b\\c.PNG', '.', 'x?y#z.png']) {
      const { file, upload } = await create({ policy: 'notes', contentType: 'text/plain', sizeBytes: 4, filename })
      t.match(file.key, /^notes\/\d{4}\/[a-f0-9-]{36}-[A-Za-z0-9_-]{1,64}(\.[a-z0-9]{1,10})?$/, JSON.stringify(filename))
      t.equal(new URL(upload.url).pathname, `/${bucket}/${file.key}`)
      t.equal((await send(upload, Buffer.from('text'))).status, 200)
    }
  })

  t.test('F7: complete before the PUT is told to wait, and works after it', async t => {
    const { file, upload } = await create()
    const early = await complete(file.id)
    await problem(t, early, 409, 'OBJECT_MISSING')
    t.match(early.headers['retry-after'], /^\d+$/)
    t.equal((await call('GET', `/uploads/${file.id}`, { token: ada })).json().file.status, 'pending')
    await send(upload, picture)
    t.equal((await complete(file.id)).statusCode, 200)
  })

  t.test('F8: a repeated complete gives the same answer', async t => {
    const { file, upload } = await create()
    await send(upload, picture)
    const first = await complete(file.id)
    const second = await complete(file.id)
    t.equal(second.statusCode, 200)
    t.strictSame(second.json(), first.json())
  })

  t.test('fresh instructions come while the bytes are awaited, and not after', async t => {
    const { file, upload } = await create()
    const again = (await call('GET', `/uploads/${file.id}`, { token: ada })).json()
    t.equal(new URL(again.upload.url).pathname, new URL(upload.url).pathname)
    await send(again.upload, picture)
    await complete(file.id)
    const after = (await call('GET', `/uploads/${file.id}`, { token: ada })).json()
    t.equal(after.file.status, 'ready')
    t.equal(after.upload, undefined)
  })

  const mismatches: ReadonlyArray<[name: string, input: Partial<PutObjectCommandInput>, reason: RegExp]> = [
    ['T16: another size', { Body: Buffer.concat([picture, Buffer.from('x')]) }, /bytes; \d+ were declared/],
    ['T15: another type', { ContentType: 'text/html' }, /sent as text\/html/],
    ['T20: a content encoding', { ContentEncoding: 'gzip' }, /content-encoding/],
    ['T20: a disposition', { ContentDisposition: 'inline' }, /content-disposition/],
    ['T20: a cache rule', { CacheControl: 'max-age=9' }, /cache-control/],
    ['T20: a language', { ContentLanguage: 'en' }, /content-language/],
    ['T20: metadata', { Metadata: { secret: 'x' } }, /x-amz-meta-secret/],
    ['T29: HTML of the same size as a picture', { Body: Buffer.concat([HTML, Buffer.alloc(picture.length)]).subarray(0, picture.length) }, /HTML/]
  ]
  for (const [name, input, reason] of mismatches) {
    t.test(`${name} in the store, which a signature should have kept out, is rejected and deleted`, async t => {
      const { file } = await create()
      await storeDirectly(file.key, input)
      const body = await problem(t, await complete(file.id), 422, 'OBJECT_MISMATCH')
      t.match(body.detail, reason)
      t.equal(await stored(file.key), null, 'the object is gone')
      t.match((await call('GET', `/files/${file.id}`, { token: ada })).json().file, { status: 'rejected', rejectedReason: reason })
      await problem(t, await complete(file.id), 422, 'OBJECT_MISMATCH')
      await problem(t, await call('POST', '/downloads', { token: ada, body: { fileId: file.id } }), 409, 'FILE_NOT_READY')
    })
  }

  t.test('F17: an empty file becomes ready where the policy allows it', async t => {
    const { file, upload } = await create({ policy: 'notes', contentType: 'text/plain', sizeBytes: 0 })
    t.equal((await send(upload, Buffer.alloc(0))).status, 200)
    t.equal((await complete(file.id)).json().file.status, 'ready')
  })

  t.test('abort ends an upload, deletes what arrived and may be repeated', async t => {
    const { file, upload } = await create()
    await send(upload, picture)
    t.equal((await call('DELETE', `/uploads/${file.id}`, { token: ada })).statusCode, 204)
    t.equal(await stored(file.key), null)
    t.equal((await call('DELETE', `/uploads/${file.id}`, { token: ada })).statusCode, 204)
    await problem(t, await complete(file.id), 410, 'UPLOAD_EXPIRED')
  })

  t.test('a completed upload cannot be aborted', async t => {
    const { file, upload } = await create()
    await send(upload, picture)
    await complete(file.id)
    await problem(t, await call('DELETE', `/uploads/${file.id}`, { token: ada }), 409, 'UPLOAD_ALREADY_COMPLETED')
  })

  t.test('T8 T11: another user cannot see, complete or abort an upload, and cannot tell it from none', async t => {
    const { file } = await create()
    for (const [method, path] of [['GET', ''], ['POST', '/complete'], ['DELETE', '']] as const) {
      const foreign = await call(method, `/uploads/${file.id}${path}`, { token: grace, ...(method === 'POST' && { body: {} }) })
      const unknown = await call(method, `/uploads/00000000-0000-4000-8000-000000000000${path}`, { token: grace, ...(method === 'POST' && { body: {} }) })
      await problem(t, foreign, 404, 'UPLOAD_NOT_FOUND')
      t.strictSame({ ...foreign.json(), requestId: '' }, { ...unknown.json(), requestId: '' })
    }
    t.equal((await call('GET', `/uploads/${file.id}`, { token: ada })).json().file.status, 'pending')
  })

  t.test('an administrator finishes the upload of another user', async t => {
    const { file, upload } = await create()
    await send(upload, picture)
    t.equal((await complete(file.id, await token('root', { scope: 'files:admin' }))).statusCode, 200)
  })

  t.test('a policy admits by scope and claim, and asks for a checksum', async t => {
    const report = { ...pictureBody, policy: 'reports', contentType: 'application/pdf' }
    const withScope = await token('ada', { scope: 'a reports:write b' })
    await problem(t, await call('POST', '/uploads', { token: withScope, body: report }), 403, 'POLICY_FORBIDDEN')
    const admitted = await token('ada', { scope: ['reports:write'], department: 'finance' })
    await problem(t, await call('POST', '/uploads', { token: admitted, body: report }), 400, 'INVALID_REQUEST')
    t.equal((await call('POST', '/uploads', { token: admitted, body: { ...report, checksumSha256: sha256Base64(picture) } })).statusCode, 201)
    const names = async (as: string) => (await call('GET', '/policies', { token: as })).json().data.map((policy: { name: string }) => policy.name)
    t.strictSame(await names(ada), ['pictures', 'notes', 'posters', 'forms', 'parts', 'few'])
    t.strictSame(await names(admitted), ['pictures', 'notes', 'posters', 'reports', 'forms', 'parts', 'few'])
  })

  t.test('F9: of two completes at once one verifies, and the other waits or gets its result', async t => {
    let heads = 0
    let arrived: () => void = () => {}
    let go: () => void = () => {}
    const isHeld = new Promise<void>(resolve => { arrived = resolve })
    const mayGo = new Promise<void>(resolve => { go = resolve })
    const slow = await startService(t, s3, {
      engine,
      adapt: services => ({
        ...services,
        objectStorage: {
          ...services.objectStorage,
          async headObject (location) {
            heads++
            arrived()
            await mayGo
            return await services.objectStorage.headObject(location)
          }
        }
      })
    })
    const { file, upload } = (await slow.call('POST', '/uploads', { token: ada, body: pictureBody })).json()
    await send(upload, picture)
    const first = slow.call('POST', `/uploads/${file.id}/complete`, { token: ada, body: {} })
    await isHeld
    const second = await slow.call('POST', `/uploads/${file.id}/complete`, { token: ada, body: {} })
    t.equal(second.statusCode, 202)
    t.equal(second.json().file.status, 'verifying')
    t.match(second.headers['retry-after'], /^\d+$/)
    go()
    t.equal((await first).statusCode, 200)
    t.equal(heads, 1)
  })

  t.test('a lease that ran out is taken over, and its late holder changes nothing', async t => {
    let clock = new Date()
    let park: Promise<void> | null = null
    let release: () => void = () => {}
    let parked: () => void = () => {}
    const isParked = new Promise<void>(resolve => { parked = resolve })
    const late = await startService(t, s3, {
      engine,
      adapt: services => ({
        ...services,
        now: () => clock,
        objectStorage: {
          ...services.objectStorage,
          async headObject (location) {
            const wait = park
            park = null
            const head = await services.objectStorage.headObject(location)
            if (wait) {
              parked()
              await wait
            }
            return head
          }
        }
      })
    })
    const { file, upload } = (await late.call('POST', '/uploads', { token: ada, body: pictureBody })).json()
    await send(upload, picture)
    park = new Promise(resolve => { release = resolve })
    const first = late.call('POST', `/uploads/${file.id}/complete`, { token: ada, body: {} })
    await isParked
    clock = new Date(clock.getTime() + 61_000)
    const second = await late.call('POST', `/uploads/${file.id}/complete`, { token: ada, body: {} })
    t.equal(second.statusCode, 200)
    const version = second.json().file.updatedAt
    release()
    const firstReply = await first
    t.equal(firstReply.statusCode, 200)
    t.equal(firstReply.json().file.updatedAt, version, 'the row was written once')
  })

  const faults: ReadonlyArray<[name: string, fault: Partial<ObjectStorage>]> = [
    ['F14 F15 F38: a store that does not answer HEAD', { headObject: () => Promise.reject(outage()) }],
    ['F14: a store that does not answer the ranged GET', { readFirstBytes: () => Promise.reject(outage()) }],
    ['F18: an object that keeps changing', { readFirstBytes: () => Promise.resolve(null) }]
  ]
  for (const [name, fault] of faults) {
    t.test(`${name} decides nothing: the upload stays pending and becomes ready later`, async t => {
      let isFaulty = true
      const flaky = await startService(t, s3, {
        engine,
        adapt: services => ({
          ...services,
          objectStorage: new Proxy(services.objectStorage, { get: (target, name) => (isFaulty && fault[name as keyof ObjectStorage]) || target[name as keyof ObjectStorage] })
        })
      })
      const { file, upload } = (await flaky.call('POST', '/uploads', { token: ada, body: pictureBody })).json()
      await send(upload, picture)
      const failed = await flaky.call('POST', `/uploads/${file.id}/complete`, { token: ada, body: {} })
      await problem(t, failed, 502, 'OBJECT_STORAGE_ERROR')
      t.match(failed.headers['retry-after'], /^\d+$/)
      t.equal((await flaky.call('GET', `/files/${file.id}`, { token: ada })).json().file.status, 'pending')
      isFaulty = false
      t.equal((await flaky.call('POST', `/uploads/${file.id}/complete`, { token: ada, body: {} })).statusCode, 200)
    })
  }

  t.test('F18: bytes swapped between HEAD and the ranged GET are looked at again, never ready unseen', async t => {
    let swaps = 0
    const swapping = await startService(t, s3, {
      engine,
      adapt: services => ({
        ...services,
        objectStorage: {
          ...services.objectStorage,
          async readFirstBytes (location, etag, count) {
            if (swaps++ === 0) await s3.client.send(new PutObjectCommand({ Bucket: location.bucket, Key: location.key, Body: Buffer.concat([HTML, Buffer.alloc(picture.length)]).subarray(0, picture.length), ContentType: 'image/png' }))
            return await services.objectStorage.readFirstBytes(location, etag, count)
          }
        }
      })
    })
    const { file, upload } = (await swapping.call('POST', '/uploads', { token: ada, body: pictureBody })).json()
    await send(upload, picture)
    await problem(t, await swapping.call('POST', `/uploads/${file.id}/complete`, { token: ada, body: {} }), 422, 'OBJECT_MISMATCH')
    t.equal(swaps, 2, 'it was looked at twice')
  })

  t.test('F11: abort while a verification runs wins, and the object is gone', async t => {
    const racing: { service?: TestService } = {}
    racing.service = await startService(t, s3, {
      engine,
      adapt: services => ({
        ...services,
        objectStorage: {
          ...services.objectStorage,
          async readFirstBytes (location, etag, count) {
            const bytes = await services.objectStorage.readFirstBytes(location, etag, count)
            const { data } = (await racing.service!.call('GET', '/files?status=verifying', { token: ada })).json()
            t.equal((await racing.service!.call('DELETE', `/uploads/${data[0].id}`, { token: ada })).statusCode, 204)
            return bytes
          }
        }
      })
    })
    const { file, upload } = (await racing.service.call('POST', '/uploads', { token: ada, body: pictureBody })).json()
    await send(upload, picture)
    await problem(t, await racing.service.call('POST', `/uploads/${file.id}/complete`, { token: ada, body: {} }), 410, 'UPLOAD_EXPIRED')
    t.equal(await services.objectStorage.headObject({ bucket: racing.service.bucket, key: file.key }), null)
  })

  t.test('a store that cannot delete does not change the answer: the row decides', async t => {
    const stuck = await startService(t, s3, { engine, adapt: services => ({ ...services, objectStorage: { ...services.objectStorage, deleteObject: () => Promise.reject(outage()) } }) })
    const { file, upload } = (await stuck.call('POST', '/uploads', { token: ada, body: pictureBody })).json()
    await send(upload, picture)
    await stuck.call('POST', `/uploads/${file.id}/complete`, { token: ada, body: {} })
    t.equal((await stuck.call('DELETE', `/files/${file.id}`, { token: ada })).statusCode, 204)
    await problem(t, await stuck.call('GET', `/files/${file.id}`, { token: ada }), 404, 'FILE_NOT_FOUND')
    await problem(t, await stuck.call('POST', '/downloads', { token: ada, body: { fileId: file.id } }), 404, 'FILE_NOT_FOUND')
  })

  t.test('I1: the row knows of every upload URL that was handed out', async t => {
    let clock = new Date()
    const timed = await startService(t, s3, { engine, adapt: services => ({ ...services, now: () => clock }) })
    const { file, upload } = (await timed.call('POST', '/uploads', { token: ada, body: pictureBody })).json()
    const deadline = async () => (await timed.services.database.selectFrom('files').select('url_deadline').where('id', '=', file.id).executeTakeFirstOrThrow()).url_deadline
    t.equal(await deadline(), Date.parse(upload.expiresAt))
    clock = new Date(clock.getTime() + 300_000)
    const again = (await timed.call('GET', `/uploads/${file.id}`, { token: ada })).json()
    t.ok(Date.parse(again.upload.expiresAt) > Date.parse(upload.expiresAt))
    t.ok(await deadline() >= Date.parse(again.upload.expiresAt))
  })

  t.test('a tombstone counts as purged only when no upload URL can bring its object back', async t => {
    let clock = new Date()
    const timed = await startService(t, s3, { engine, adapt: services => ({ ...services, now: () => clock }) })
    const purgedAt = async (id: string) => (await timed.services.database.selectFrom('files').select('purged_at').where('id', '=', id).executeTakeFirstOrThrow()).purged_at
    const early = (await timed.call('POST', '/uploads', { token: ada, body: pictureBody })).json()
    await timed.call('DELETE', `/uploads/${early.file.id}`, { token: ada })
    t.equal(await purgedAt(early.file.id), null)
    const late = (await timed.call('POST', '/uploads', { token: ada, body: pictureBody })).json()
    clock = new Date(clock.getTime() + 901_000 + 24 * 3_600_000)
    await timed.call('DELETE', `/uploads/${late.file.id}`, { token: ada })
    t.type(await purgedAt(late.file.id), 'number')
  })
}

function outage (): Error {
  // The port's contract: what goes wrong at the store is this error.
  return new ApiError('OBJECT_STORAGE_ERROR', 'The store is out.', { retryAfterSeconds: 5 })
}
