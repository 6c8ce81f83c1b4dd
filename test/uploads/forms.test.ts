import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import { sweepUploads } from '../../src/jobs/sweep-uploads.js'
import { sendForm, type PresignedForm } from '../helpers/form.js'
import { HTML, png, sha256Base64 } from '../helpers/samples.js'
import { s3Code, send } from '../helpers/send.js'
import { ENGINES, startService, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'

interface Begun { readonly file: { readonly id: string, readonly key: string, readonly sizeBytes?: number }, readonly upload: PresignedForm & { readonly expiresAt: string } }

const s3 = await startTestS3(t)
const picture = png()
const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  const service = await startService(t, s3, { engine })
  const { call, token, services, bucket } = service
  const ada = await token('ada')
  const create = async (body: object = {}): Promise<Begun> => {
    const reply = await call('POST', '/uploads', { token: ada, body: { policy: 'forms', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length, ...body } })
    t.equal(reply.statusCode, 201, reply.body)
    return reply.json()
  }
  const complete = async (id: string) => await call('POST', `/uploads/${id}/complete`, { token: ada })
  const stored = async (key: string) => await services.objectStorage.headObject({ bucket, key })
  const download = async (id: string) => (await send((await call('POST', '/downloads', { token: ada, body: { fileId: id } })).json().download))

  t.test('a form goes up, is sealed and served', async t => {
    const { file, upload } = await create()
    t.equal(upload.method, 'POST')
    t.equal((await sendForm(upload, picture)).status, 201)
    t.match((await complete(file.id)).json().file, { status: 'ready', method: 'POST', sizeBytes: picture.length })
    t.strictSame((await download(file.id)).body, picture)
    t.equal(await stored(`staging/${file.id}`), null, 'staging is empty')
  })

  t.test('T19: every field is bound by equality, the key is exact, and the range is the declared size', async t => {
    const { file, upload } = await create()
    const policy = JSON.parse(Buffer.from(upload.fields['Policy'] ?? '', 'base64').toString()) as { conditions: unknown[], expiration: string }
    t.ok(policy.conditions.every(condition => Array.isArray(condition) ? condition[0] === 'content-length-range' : typeof condition === 'object'))
    t.strictSame(policy.conditions.filter(Array.isArray), [['content-length-range', picture.length, picture.length]])
    t.equal(upload.fields['key'], `staging/${file.id}`)
    t.equal(upload.fields['success_action_status'], '201')
    t.notOk(Object.keys(upload.fields).some(name => /redirect|acl/i.test(name)))
    t.equal(new Date(policy.expiration).toISOString(), upload.expiresAt)
  })

  const changed: ReadonlyArray<[name: string, fields: Record<string, string>]> = [
    ['another key', { key: 'other' }],
    ['another type', { 'content-type': 'text/html' }],
    ['another status', { success_action_status: '200' }],
    ['another date', { 'X-Amz-Date': '20260101T000000Z' }],
    ['another signature', { 'X-Amz-Signature': '0'.repeat(64) }],
    ['another policy', { Policy: Buffer.from('{"expiration":"2099-01-01T00:00:00Z","conditions":[]}').toString('base64') }],
    ['an ACL', { acl: 'public-read' }],
    ['metadata', { 'x-amz-meta-x': 'y' }],
    ['a redirect', { 'x-amz-website-redirect-location': 'https://evil.example' }],
    ['an encoding', { 'content-encoding': 'gzip' }]
  ]
  for (const [name, fields] of changed) {
    t.test(`T19: ${name} is refused by the store`, async t => {
      const { file, upload } = await create()
      const sent = await sendForm(upload, picture, fields)
      t.ok([400, 403].includes(sent.status), `${sent.status} ${s3Code(sent)}`)
      t.equal(await stored(`staging/${file.id}`), null)
      t.equal((await sendForm(upload, picture)).status, 201, 'the honest form works')
    })
  }

  t.test('T16 T19: one byte more or less is refused', async t => {
    const { upload } = await create()
    t.equal(s3Code(await sendForm(upload, Buffer.concat([picture, Buffer.from('x')]))), 'EntityTooLarge')
    t.equal(s3Code(await sendForm(upload, picture.subarray(1))), 'EntityTooSmall')
  })

  t.test('a form without a size is bound to what the policy allows, and the size is known once it is there', async t => {
    const { file, upload } = await create({ sizeBytes: undefined })
    t.equal(file.sizeBytes, undefined)
    const policy = JSON.parse(Buffer.from(upload.fields['Policy'] ?? '', 'base64').toString()) as { conditions: unknown[] }
    t.strictSame(policy.conditions.filter(Array.isArray), [['content-length-range', 1, 100_000]])
    t.equal((await sendForm(upload, picture)).status, 201)
    t.match((await complete(file.id)).json().file, { status: 'ready', sizeBytes: picture.length })
  })

  t.test('T24: after completion no form changes the bytes that downloads serve', async t => {
    const { file, upload } = await create()
    await sendForm(upload, picture)
    const again = (await call('GET', `/uploads/${file.id}`, { token: ada })).json().upload
    await complete(file.id)
    const before = digest((await download(file.id)).body)
    const other = Buffer.from(picture)
    other[other.length - 1]! ^= 1
    for (const form of [upload, again]) await sendForm(form, other)
    t.equal(digest((await download(file.id)).body), before)
    t.equal((await complete(file.id)).json().file.etag, (await call('GET', `/files/${file.id}`, { token: ada })).json().file.etag)
  })

  t.test('T20: what a client stored beside its bytes in staging does not reach the file', async t => {
    const { file } = await create()
    const { PutObjectCommand } = await import('@aws-sdk/client-s3')
    await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key: `staging/${file.id}`, Body: picture, ContentType: 'image/png', ContentEncoding: 'gzip', ContentDisposition: 'inline', Metadata: { a: 'b' } }))
    t.equal((await complete(file.id)).statusCode, 200)
    t.strictSame((await stored(file.key))?.unsignedHeaders, [])
  })

  t.test('T29: content is looked at in forms, too, and nothing of it stays', async t => {
    const html = Buffer.concat([HTML, Buffer.alloc(picture.length)]).subarray(0, picture.length)
    const { file, upload } = await create()
    t.equal((await sendForm(upload, html)).status, 201)
    t.equal((await complete(file.id)).json().code, 'OBJECT_MISMATCH')
    t.equal(await stored(file.key), null)
    t.equal(await stored(`staging/${file.id}`), null)
  })

  t.test('F41: killed between copy and commit, the next call finishes with the same bytes', async t => {
    let isBroken = true
    const broken = await startService(t, s3, {
      engine,
      adapt: services => ({ ...services, files: { ...services.files, markReady: async (...args) => isBroken ? await Promise.reject(new Error('killed')) : await services.files.markReady(...args) } })
    })
    const { file, upload } = (await broken.call('POST', '/uploads', { token: ada, body: { policy: 'forms', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length } })).json()
    await sendForm(upload, picture)
    t.equal((await broken.call('POST', `/uploads/${file.id}/complete`, { token: ada })).statusCode, 500)
    isBroken = false
    t.equal((await broken.call('POST', `/uploads/${file.id}/complete`, { token: ada })).statusCode, 200)
    t.strictSame((await send((await broken.call('POST', '/downloads', { token: ada, body: { fileId: file.id } })).json().download)).body, picture)
  })

  t.test('a SHA-256 is a field of the form', async t => {
    const { file, upload } = await create({ checksumSha256: sha256Base64(picture) })
    t.match(upload.fields, { 'x-amz-checksum-sha256': sha256Base64(picture), 'x-amz-checksum-algorithm': 'SHA256' })
    t.equal((await sendForm(upload, picture, { 'x-amz-checksum-sha256': sha256Base64(HTML) })).status, 403)
    t.equal((await sendForm(upload, picture)).status, 201)
    t.match((await complete(file.id)).json().file, { status: 'ready', checksumSha256: sha256Base64(picture) })
  })

  t.test('abort and replace work for forms', async t => {
    const { file, upload } = await create()
    await sendForm(upload, picture)
    t.equal((await call('DELETE', `/uploads/${file.id}`, { token: ada })).statusCode, 204)
    t.equal(await stored(`staging/${file.id}`), null)

    const old = await create()
    await sendForm(old.upload, picture)
    await complete(old.file.id)
    const fresh = await create({ replaces: old.file.id, contentType: 'text/plain', filename: 'b.txt', sizeBytes: 5 })
    await sendForm(fresh.upload, Buffer.from('hello'))
    t.match((await complete(fresh.file.id)).json().file, { id: old.file.id, status: 'ready', contentType: 'text/plain' })
    t.equal((await download(old.file.id)).body.toString(), 'hello')
    t.equal(await stored(old.file.key), null)
  })

  t.test('T24: at a store without conditional writes a PUT is sealed as well', async t => {
    const plain = await startService(t, s3, { engine, env: { S3_CONDITIONAL_WRITES: 'false' } })
    const { file, upload } = (await plain.call('POST', '/uploads', { token: ada, body: { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length } })).json()
    t.match(new URL(upload.url).pathname, `/${plain.bucket}/staging/${file.id}`)
    t.equal((await send(upload, picture)).status, 200)
    t.equal((await plain.call('POST', `/uploads/${file.id}/complete`, { token: ada })).json().file.status, 'ready')
    const other = Buffer.from(picture)
    other[other.length - 1]! ^= 1
    t.equal((await send(upload, other)).status, 200, 'staging is free again')
    t.strictSame((await send((await plain.call('POST', '/downloads', { token: ada, body: { fileId: file.id } })).json().download)).body, picture)
  })

  for (const [template, method, conditionalWrites] of [['{tenant}/{fileId}', 'POST', 'true'], ['{owner}/{fileId}', 'POST', 'true'], ['{tenant}/{fileId}', 'PUT', 'true'], ['{owner}/{fileId}', 'PUT', 'false']] as const) {
    t.test(`what somebody called "staging" uploads stays: ${template} by ${method}, conditional writes ${conditionalWrites}`, async t => {
      let offset = 0
      const { call, services, bucket } = await startService(t, s3, {
        engine,
        policies: `policies:\n  p: { contentTypes: [image/png], maxSize: 1MiB, key: "${template}", methods: [PUT, POST] }`,
        env: { JWT_TENANT_CLAIM: 'org', S3_CONDITIONAL_WRITES: conditionalWrites },
        adapt: services => ({ ...services, now: () => new Date(Date.now() + offset) })
      })
      const user = await token('staging', { org: 'staging' })
      const { file, upload } = (await call('POST', '/uploads', { token: user, body: { policy: 'p', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length, method } })).json()
      t.equal(file.key, `_staging/${file.id}`)
      t.equal((method === 'POST' ? await sendForm(upload, picture) : await send(upload, picture)).status, method === 'POST' ? 201 : 200)
      t.equal((await call('POST', `/uploads/${file.id}/complete`, { token: user })).json().file.status, 'ready')
      const served = async () => (await send((await call('POST', '/downloads', { token: user, body: { fileId: file.id } })).json().download)).body
      t.strictSame(await served(), picture)
      offset = 3 * 24 * 60 * 60 * 1000
      await sweepUploads(services)
      t.match(await services.objectStorage.headObject({ bucket, key: file.key }), { sizeBytes: picture.length })
      offset = 0
      t.strictSame(await served(), picture)
    })
  }
}
