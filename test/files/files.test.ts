import t, { type Test } from 'tap'
import { JPEG, png } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { ENGINES, startService, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'

const s3 = await startTestS3(t)
const picture = png()

for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  const service = await startService(t, s3, { engine })
  const { call, token, services, bucket } = service
  const ada = await token('ada')
  const grace = await token('grace')

  async function upload (as = ada, body: object = {}, bytes: Uint8Array = picture) {
    const reply = await call('POST', '/uploads', { token: as, body: { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: bytes.length, ...body } })
    t.equal(reply.statusCode, 201, reply.body)
    const { file, upload } = reply.json()
    t.equal((await send(upload, bytes)).status, 200)
    const completed = await call('POST', `/uploads/${file.id}/complete`, { token: as })
    t.equal(completed.statusCode, 200, completed.body)
    return { uploadId: file.id as string, file: completed.json().file, oldUrl: upload }
  }
  async function download (id: string, as = ada): Promise<Buffer> {
    const reply = await call('POST', '/downloads', { token: as, body: { fileId: id } })
    t.equal(reply.statusCode, 201, reply.body)
    return (await send(reply.json().download)).body
  }

  t.test('lists one\'s own files in pages, with the next page in body and Link', async t => {
    const mona = await token('mona')
    for (let index = 0; index < 3; index++) await upload(mona, { filename: `${index}.png` })
    const first = await call('GET', '/files?limit=2', { token: mona })
    const { data, nextCursor } = first.json()
    t.strictSame(data.map((file: { filename: string }) => file.filename), ['2.png', '1.png'])
    t.match(first.headers.link, /^<\/files\?limit=2&status=ready&cursor=[\w-]+>; rel="next"$/)
    const second = await call('GET', /<(.*)>/.exec(String(first.headers.link))?.[1] ?? '', { token: mona })
    t.strictSame(second.json().data.map((file: { filename: string }) => file.filename), ['0.png'])
    t.equal(second.json().nextCursor, undefined)
    t.equal(second.headers.link, undefined)

    for (const [name, url, as] of [
      ['changed', `/files?cursor=${nextCursor.slice(0, -1)}${nextCursor.endsWith('A') ? 'B' : 'A'}`, mona],
      ['made up', '/files?cursor=AAAA', mona],
      ['of another filter', `/files?policy=notes&cursor=${nextCursor}`, mona],
      ['of another user', `/files?cursor=${nextCursor}`, grace]
    ] as const) {
      const reply = await call('GET', url, { token: as })
      t.match(reply.json(), { status: 400, code: 'INVALID_REQUEST' }, `T11: a cursor that is ${name}`)
    }
  })

  t.test('lists by status and policy, and says which parameters are wrong', async t => {
    const nina = await token('nina')
    await upload(nina)
    await call('POST', '/uploads', { token: nina, body: { policy: 'notes', filename: 'n.txt', contentType: 'text/plain', sizeBytes: 3 } })
    const count = async (query: string) => (await call('GET', `/files${query}`, { token: nina })).json().data.length
    t.equal(await count(''), 1)
    t.equal(await count('?status=pending'), 1)
    t.equal(await count('?policy=notes'), 0)
    t.equal(await count('?policy=notes&status=pending'), 1)
    for (const query of ['?limit=0', '?limit=101', '?limit=x', '?status=deleted', '?nope=1']) {
      t.match((await call('GET', `/files${query}`, { token: nina })).json(), { status: 400, code: 'INVALID_REQUEST', errors: [{ path: String, message: String }] }, query)
    }
    t.match((await call('GET', '/files?limit=100', { token: nina })).statusCode, 200)
  })

  t.test('T12: another owner\'s files are listed for files:admin alone', async t => {
    await upload()
    t.match((await call('GET', '/files?owner=ada', { token: grace })).json(), { status: 403, code: 'SCOPE_MISSING' })
    t.ok((await call('GET', '/files?owner=ada', { token: await token('root', { scope: 'files:admin' }) })).json().data.length > 0)
  })

  t.test('renames and changes metadata, and downloads carry the new name', async t => {
    const { file } = await upload()
    const renamed = await call('PATCH', `/files/${file.id}`, { token: ada, body: { filename: '../höhe.png', metadata: { a: 'b' } } })
    t.match(renamed.json().file, { filename: 'höhe.png', metadata: { a: 'b' }, key: file.key })
    const { download } = (await call('POST', '/downloads', { token: ada, body: { fileId: file.id } })).json()
    t.match((await send(download)).headers['content-disposition'], "filename*=UTF-8''h%C3%B6he.png")
    for (const body of [{}, { status: 'ready' }, { metadata: { a: 1 } }, { metadata: { 'a b': 'c' } }, { filename: '' }]) {
      t.match((await call('PATCH', `/files/${file.id}`, { token: ada, body })).json(), { status: 400, code: 'INVALID_REQUEST' }, JSON.stringify(body))
    }
  })

  t.test('deletes a file at once and for good, and may be repeated', async t => {
    const { file } = await upload()
    const url = (await call('POST', '/downloads', { token: ada, body: { fileId: file.id } })).json().download
    t.equal((await call('DELETE', `/files/${file.id}`, { token: ada })).statusCode, 204)
    t.equal((await call('DELETE', `/files/${file.id}`, { token: ada })).statusCode, 204)
    t.equal((await call('GET', `/files/${file.id}`, { token: ada })).json().code, 'FILE_NOT_FOUND')
    t.equal((await call('POST', `/uploads/${file.id}/complete`, { token: ada })).json().code, 'UPLOAD_NOT_FOUND')
    t.equal((await send(url)).status, 404, 'the object is gone too')
  })

  t.test('deleting a file that is still pending gives its upload up', async t => {
    const { file, upload: instructions } = (await call('POST', '/uploads', { token: ada, body: { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length } })).json()
    await send(instructions, picture)
    t.equal((await call('DELETE', `/files/${file.id}`, { token: ada })).statusCode, 204)
    t.equal(await services.objectStorage.headObject({ bucket, key: file.key }), null)
    t.equal((await call('GET', `/files/${file.id}`, { token: ada })).json().file.status, 'expired')
  })

  t.test('a replacement serves the old content until the new one is ready, under the same id', async t => {
    const { file } = await upload(ada, { metadata: { album: 'x' } })
    const begun = (await call('POST', '/uploads', { token: ada, body: { policy: 'pictures', filename: 'b.jpg', contentType: 'image/jpeg', sizeBytes: JPEG.length, replaces: file.id } })).json()
    t.match(begun.file, { status: 'pending', replaces: file.id })
    await send(begun.upload, JPEG)
    t.strictSame(await download(file.id), picture)
    const done = await call('POST', `/uploads/${begun.file.id}/complete`, { token: ada })
    t.match(done.json().file, { id: file.id, contentType: 'image/jpeg', filename: 'b.jpg', status: 'ready', metadata: { album: 'x' } })
    t.strictSame(await download(file.id), JPEG)
    t.equal(await services.objectStorage.headObject({ bucket, key: file.key }), null, 'the old object is gone')
    t.strictSame((await call('POST', `/uploads/${begun.file.id}/complete`, { token: ada })).json(), done.json(), 'complete may be repeated')
    t.equal((await call('GET', `/uploads/${begun.file.id}`, { token: ada })).json().file.id, file.id)
    t.equal((await call('GET', `/files/${begun.file.id}`, { token: ada })).json().code, 'FILE_NOT_FOUND', 'there is one file, not two')
    t.equal((await call('DELETE', `/uploads/${begun.file.id}`, { token: ada })).json().code, 'UPLOAD_ALREADY_COMPLETED')
    t.equal((await call('DELETE', `/files/${begun.file.id}`, { token: ada })).json().code, 'FILE_NOT_FOUND')
    t.strictSame(await download(file.id), JPEG)
  })

  t.test('T24: after a replacement no old URL changes what downloads serve', async t => {
    const { file, oldUrl } = await upload()
    const { oldUrl: newUrl } = await upload(ada, { replaces: file.id, contentType: 'image/jpeg' }, JPEG)
    await send(oldUrl, picture)
    t.equal((await send(newUrl, JPEG)).status, 412)
    t.strictSame(await download(file.id), JPEG)
  })

  t.test('a rejected replacement leaves the old content', async t => {
    const { file } = await upload()
    const begun = (await call('POST', '/uploads', { token: ada, body: { policy: 'pictures', filename: 'b.jpg', contentType: 'image/jpeg', sizeBytes: picture.length, replaces: file.id } })).json()
    await send(begun.upload, picture)
    t.equal((await call('POST', `/uploads/${begun.file.id}/complete`, { token: ada })).json().code, 'OBJECT_MISMATCH')
    t.strictSame(await download(file.id), picture)
  })

  t.test('only an own, ready file of the same policy can be replaced', async t => {
    const { file } = await upload()
    const body = { policy: 'pictures', filename: 'b.png', contentType: 'image/png', sizeBytes: 9, replaces: file.id }
    t.match((await call('POST', '/uploads', { token: grace, body })).json(), { status: 404, code: 'FILE_NOT_FOUND' })
    t.match((await call('POST', '/uploads', { token: ada, body: { ...body, policy: 'posters' } })).json(), { status: 400, code: 'INVALID_REQUEST', errors: [{ path: '/policy' }] })
    const pending = (await call('POST', '/uploads', { token: ada, body: { ...body, replaces: undefined } })).json().file
    t.match((await call('POST', '/uploads', { token: ada, body: { ...body, replaces: pending.id } })).json(), { status: 409, code: 'FILE_NOT_READY' })
  })

  t.test('tenants are apart, also for administrators', async t => {
    const tenants = await startService(t, s3, { engine, env: { JWT_TENANT_CLAIM: 'app.tenant' } })
    const red = await token('ada', { app: { tenant: 'red' } })
    const blue = await token('ada', { app: { tenant: 'blue' }, scope: 'files:admin' })
    const { file, upload } = (await tenants.call('POST', '/uploads', { token: red, body: { policy: 'notes', filename: 'n.txt', contentType: 'text/plain', sizeBytes: 4 } })).json()
    t.equal((await tenants.call('GET', `/files/${file.id}`, { token: red })).statusCode, 200)
    t.equal((await tenants.call('GET', `/files/${file.id}`, { token: blue })).statusCode, 404)
    t.equal((await tenants.call('DELETE', `/files/${file.id}`, { token: blue })).statusCode, 404)
    t.equal((await tenants.call('GET', '/files?status=pending', { token: blue })).json().data.length, 0)
    t.equal((await tenants.call('GET', '/files', { token: ada })).json().code, 'UNAUTHENTICATED', 'a token without a tenant is nobody')

    await send(upload, Buffer.from('text'))
    t.equal((await tenants.call('POST', `/uploads/${file.id}/complete`, { token: red, body: {} })).statusCode, 200)
    const read = async (as: string) => (await tenants.call('POST', '/downloads', { token: as, body: { fileId: file.id } })).statusCode
    t.equal(await read(await token('grace', { app: { tenant: 'red' } })), 201, 'whom a file of visibility "authenticated" is for')
    t.equal(await read(await token('grace', { app: { tenant: 'blue' } })), 404, 'and that is nobody of another tenant')
    t.equal(await read(blue), 404)
  })
}
