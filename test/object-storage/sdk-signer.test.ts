import t from 'tap'
import type { Checksum, ObjectStorage, PresignGet, PresignParts, PresignPost, PresignPut } from '../../src/object-storage/object-storage.js'
import { createS3ObjectStorage, type S3Options } from '../../src/object-storage/s3.js'
import { sendForm, type PresignedForm } from '../helpers/form.js'
import { startEmbeddedTestS3 } from '../helpers/s3.js'
import { crc32Base64, png, sha256Base64 } from '../helpers/samples.js'
import { isRefused, send, type Presigned, type Sent } from '../helpers/send.js'
import { startService } from '../helpers/service.js'

type Instructions = Presigned & PresignedForm & { readonly parts: readonly [Omit<Presigned, 'method'>] }

const s3 = await startEmbeddedTestS3(t)
const bytes = png()
const NIGHT = new Date('2026-01-31T23:59:59.999Z')
const CHECKSUMS: ReadonlyArray<Checksum | null> = [null, { algorithm: 'SHA256', value: sha256Base64(bytes) }, { algorithm: 'CRC32', value: crc32Base64(bytes) }, { algorithm: 'CRC32C', value: '1+w5Zg==' }]
const KEYS = ['a/b.png', "ü ö/日本+!*'()~&=;,@$?%.png", 'a//b']
const LONG_LIVED = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret+/' }
const borrowed = (begin: Date) => ({ ...LONG_LIVED, sessionToken: 'IQoJb3JpZ2lu+/==', expiration: new Date(begin.getTime() + 300_000) })

function openBoth (options: Partial<S3Options> = {}): Record<'builtIn' | 'sdk', ObjectStorage> {
  const address = { region: 'eu-central-1', forcePathStyle: false, credentials: LONG_LIVED, ...options }
  return { builtIn: createS3ObjectStorage(address), sdk: createS3ObjectStorage({ ...address, signer: 'sdk' }) }
}

const PLACES: ReadonlyArray<[name: string, options: Partial<S3Options>]> = [
  ['AWS', {}],
  ['a path of AWS', { forcePathStyle: true }],
  ['a server of its own', { endpoint: 'http://127.0.0.1:9000', forcePathStyle: true }],
  ['a host for each bucket', { endpoint: 'https://s3.example.com:8443' }],
  ['an address for clients', { endpoint: 'http://127.0.0.1:9000', publicEndpoint: 'https://files.example.com', forcePathStyle: true }],
  ['credentials that end before the URLs would', { credentials: async () => borrowed(NIGHT) }]
]
for (const [name, options] of PLACES) {
  t.test(`the AWS SDK signs the same URLs: ${name}`, async t => {
    const { builtIn, sdk } = openBoth(options)
    t.teardown(() => [builtIn, sdk].forEach(storage => storage.close()))
    for (const key of KEYS) {
      const at = { bucket: 'my-bucket', key, signedAt: NIGHT, expiresInSeconds: 900 }
      for (const checksum of CHECKSUMS) {
        const put: PresignPut = { ...at, contentType: 'image/png', sizeBytes: bytes.length, checksum }
        t.strictSame(await sdk.presignPut(put), await builtIn.presignPut(put))
      }
      const parts: PresignParts = { ...at, multipartUploadId: 'id+/=~', parts: [{ partNumber: 1, sizeBytes: 5_242_880, sha256: null }, { partNumber: 10_000, sizeBytes: 1, sha256: null }, { partNumber: 3, sizeBytes: null, sha256: null }] }
      t.strictSame(await sdk.presignParts(parts), await builtIn.presignParts(parts))
      for (const method of ['GET', 'HEAD'] as const) {
        const get: PresignGet = { ...at, method, windowSeconds: 60, contentType: 'image/png', contentDisposition: "inline; filename*=UTF-8''%C3%A4.png" }
        t.strictSame(await sdk.presignGet(get), await builtIn.presignGet(get))
      }
      t.strictSame(await sdk.presignDelete(at), await builtIn.presignDelete(at))
    }
  })
}

/** A form of the SDK begins at a clock of its own, and no test can set that. */
t.test('the AWS SDK signs the same forms, to the same end', async t => {
  for (const [name, options] of PLACES) {
    const begin = new Date()
    const { builtIn, sdk } = openBoth({ ...options, ...(name.startsWith('credentials') && { credentials: async () => borrowed(begin) }) })
    t.teardown(() => [builtIn, sdk].forEach(storage => storage.close()))
    for (const checksum of CHECKSUMS) {
      const form: PresignPost = { bucket: 'my-bucket', key: 'ü ö/日本+!.png', contentType: 'image/png', minSizeBytes: 1, maxSizeBytes: 1_048_576, checksum, signedAt: new Date(begin.getTime() - 70_000), expiresInSeconds: 900 }
      const signed = await sdk.presignPost(form)
      const signedAt = new Date(String(signed.fields['X-Amz-Date']).replace(/(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/, '$1-$2-$3T$4:$5:$6Z'))
      t.ok(signedAt.getTime() > begin.getTime() - 1000)
      const asked = await builtIn.presignPost(form)
      t.strictSame(signed.expiresAt, asked.expiresAt, name)
      t.strictSame(signed, await builtIn.presignPost({ ...form, signedAt, expiresInSeconds: (asked.expiresAt.getTime() - signedAt.getTime()) / 1000 }), name)
    }
  }
})

t.test('with the AWS SDK, too, no turn of the event loop signs more than one URL', async t => {
  const { sdk } = openBoth()
  t.teardown(() => sdk.close())
  let turns = 0
  let isOver = false
  const count = (): void => {
    turns++
    if (!isOver) setImmediate(count)
  }
  count()
  const at = { bucket: 'my-bucket', key: 'k', signedAt: NIGHT, expiresInSeconds: 900 }
  await sdk.presignParts({ ...at, multipartUploadId: 'id', parts: Array.from({ length: 200 }, (_, index) => ({ partNumber: index + 1, sizeBytes: 1, sha256: null })) })
  t.ok(turns >= 200, `${turns} turns for parts`)
  turns = 0
  await Promise.all(Array.from({ length: 100 }, async () => await sdk.presignDelete(at)))
  isOver = true
  t.ok(turns >= 100, `${turns} turns for what is asked at once`)
})

t.test('the AWS SDK refuses to sign what it cannot bind, and goes on', async t => {
  const { sdk } = openBoth({ bindsPayload: true })
  t.teardown(() => sdk.close())
  const put: PresignPut = { bucket: 'my-bucket', key: 'k', signedAt: NIGHT, expiresInSeconds: 900, contentType: 'image/png', sizeBytes: 1, checksum: CHECKSUMS[1] ?? null }
  await t.rejects(sdk.presignPut(put), { code: 'OBJECT_STORAGE_ERROR', cause: { message: /cannot bind x-amz-content-sha256/ } })
  t.match((await sdk.presignPut({ ...put, checksum: null })).url, /X-Amz-Signature=/)
})

for (const signer of ['built-in', 'sdk'] as const) {
  t.test(`a signature of the ${signer} signer is no call of the store`, async t => {
    const calls: string[] = []
    const storage = createS3ObjectStorage({
      region: s3.region,
      endpoint: s3.endpoint,
      forcePathStyle: true,
      credentials: s3.credentials,
      signer,
      onCall: operation => { calls.push(operation) },
      aroundCall: async (operation, call) => {
        calls.push(operation)
        return await call()
      }
    })
    t.teardown(() => storage.close())
    const at = { bucket: await s3.createBucket(), key: 'k', signedAt: new Date(), expiresInSeconds: 900 }
    await storage.presignDelete(at)
    await storage.presignPost({ ...at, contentType: 'image/png', minSizeBytes: 1, maxSizeBytes: 1, checksum: null })
    t.same(calls, [])
    await storage.headObject(at)
    t.same(calls, ['HeadObject', 'HeadObject'])
  })
}

t.test('S3_SIGNER=sdk: a file goes up in every way, and only as it was promised', async t => {
  const service = await startService(t, s3, { env: { S3_SIGNER: 'sdk' } })
  const token = await service.token('ada')
  const more = Buffer.concat([bytes, Buffer.from('x')])
  const ways: ReadonlyArray<[policy: string, method: string, store: (upload: Instructions, body: Buffer) => Promise<Sent>]> = [
    ['pictures', 'PUT', async (upload, body) => await send(upload, body)],
    ['forms', 'POST', async (upload, body) => await sendForm(upload, body)],
    ['parts', 'multipart', async ({ parts: [part] }, body) => await send({ method: 'PUT', ...part }, body)]
  ]
  for (const [policy, method, store] of ways) {
    const created = await service.call('POST', '/uploads', { token, body: { policy, method, filename: 'a.png', contentType: 'image/png', sizeBytes: bytes.length } })
    t.equal(created.statusCode, 201, created.body)
    const { file, upload } = created.json<{ file: { id: string }, upload: Instructions }>()
    t.ok(isRefused(await store(upload, more)), `${method}: one byte more is refused`)
    t.match(await store(upload, bytes), { status: method === 'POST' ? 201 : 200 }, method)
    t.match((await service.call('POST', `/uploads/${file.id}/complete`, { token })).json(), { file: { status: 'ready', method } })
    const { download } = (await service.call('POST', '/downloads', { token, body: { fileId: file.id } })).json<{ download: Presigned }>()
    t.strictSame((await send(download)).body, bytes, method)
  }
})
