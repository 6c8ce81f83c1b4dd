import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createS3ObjectStorage } from '../../src/object-storage/s3.js'
import { JPEG, png } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { ENGINES, startService } from '../helpers/service.js'
import { makeTemporaryFolder, startTestS3 } from '../helpers/s3.js'

const s3 = await startTestS3(t)
const picture = png()
const second = await s3.createBucket()
const policies = `
buckets:
  archive: { bucket: ${second}, endpoint: "${s3.endpoint}", publicEndpoint: "http://localhost:${new URL(s3.endpoint).port}", forcePathStyle: true }
policies:
  here: { contentTypes: [image/png], maxSize: 1MiB, key: "here/{fileId}" }
  there: { contentTypes: [image/png, image/jpeg], maxSize: 1MiB, key: "there/{fileId}", bucket: archive, methods: [PUT, POST] }
`

for (const engine of ENGINES) {
  t.test(`a policy names its bucket (${engine})`, async t => {
    const { call, token, services, bucket } = await startService(t, s3, { engine, policies })
    const ada = await token('ada')
    for (const [policy, expected, host] of [['here', bucket, '127.0.0.1'], ['there', second, 'localhost']] as const) {
      const { file, upload } = (await call('POST', '/uploads', { token: ada, body: { policy, filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length } })).json()
      t.equal(file.bucket, expected)
      t.equal(new URL(upload.url).hostname, host)
      t.equal((await send(upload, picture)).status, 200)
      t.equal((await call('POST', `/uploads/${file.id}/complete`, { token: ada })).json().file.status, 'ready')
      t.ok(await services.objectStorage.headObject({ bucket: expected, key: file.key }))
      const { download } = (await call('POST', '/downloads', { token: ada, body: { fileId: file.id } })).json()
      t.equal(new URL(download.url).hostname, host)
      t.strictSame((await send(download)).body, picture)
      t.equal((await call('DELETE', `/files/${file.id}`, { token: ada })).statusCode, 204)
      t.equal(await services.objectStorage.headObject({ bucket: expected, key: file.key }), null)
    }
  })

  t.test(`F42: killed before the swap the old content is served, and the next call swaps (${engine})`, async t => {
    let isBroken = true
    const { call, token } = await startService(t, s3, {
      engine,
      policies,
      adapt: services => ({ ...services, files: { ...services.files, markReadyReplacing: async (...args) => isBroken ? await Promise.reject(new Error('killed')) : await services.files.markReadyReplacing(...args) } })
    })
    const ada = await token('ada')
    const begin = async (bytes: Uint8Array, contentType: string, replaces?: string) => {
      const { file, upload } = (await call('POST', '/uploads', { token: ada, body: { policy: 'there', filename: 'a', contentType, sizeBytes: bytes.length, replaces } })).json()
      t.equal((await send(upload, bytes)).status, 200)
      return file.id as string
    }
    const served = async (id: string) => (await send((await call('POST', '/downloads', { token: ada, body: { fileId: id } })).json().download)).body
    const old = await begin(picture, 'image/png')
    t.equal((await call('POST', `/uploads/${old}/complete`, { token: ada })).statusCode, 200)
    const replacement = await begin(JPEG, 'image/jpeg', old)
    t.equal((await call('POST', `/uploads/${replacement}/complete`, { token: ada })).statusCode, 500)
    t.strictSame(await served(old), picture)
    isBroken = false
    t.match((await call('POST', `/uploads/${replacement}/complete`, { token: ada })).json().file, { id: old, contentType: 'image/jpeg' })
    t.strictSame(await served(old), JPEG)
  })
}

t.test('a bucket signs with the credentials of its profile', async t => {
  const file = join(await makeTemporaryFolder(t), 'credentials')
  writeFileSync(file, '[archive]\naws_access_key_id = AKIDARCHIVE\naws_secret_access_key = secret\n')
  const before = process.env['AWS_SHARED_CREDENTIALS_FILE']
  process.env['AWS_SHARED_CREDENTIALS_FILE'] = file
  t.teardown(() => {
    if (before === undefined) delete process.env['AWS_SHARED_CREDENTIALS_FILE']
    else process.env['AWS_SHARED_CREDENTIALS_FILE'] = before
  })
  const archive = createS3ObjectStorage({ region: 'us-east-1', endpoint: s3.endpoint, forcePathStyle: true, profile: 'archive' })
  t.teardown(() => archive.close())
  const { url } = await archive.presignDelete({ bucket: 'b', key: 'k', signedAt: new Date(), expiresInSeconds: 60 })
  t.match(new URL(url).searchParams.get('X-Amz-Credential'), /^AKIDARCHIVE\//)
})
