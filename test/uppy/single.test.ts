import t, { type Test } from 'tap'
import { sweepUploads } from '../../src/jobs/sweep-uploads.js'
import { sendForm } from '../helpers/form.js'
import { png } from '../helpers/samples.js'
import { isRefused, send } from '../helpers/send.js'
import { ENGINES, startService, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { idOf, POLICIES, uppyClient } from './fixtures/uppy-client.js'

const s3 = await startTestS3(t)
const picture = png()
for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  let ahead = 0
  const service = await startService(t, s3, { engine, policies: POLICIES, adapt: services => ({ ...services, now: () => new Date(Date.now() + ahead) }) })
  const { call, token, services } = service
  const ada = await token('ada')
  const pictures = uppyClient(service, { path: '/uppy/pictures', token: ada })
  const puts = uppyClient(service, { path: '/uppy/puts', token: ada })
  const fileOf = async (id: string) => (await call('GET', `/files/${id}`, { token: ada })).json().file
  /** What Uppy 6 sends for each file. */
  const query = { filename: 'lake.png', type: 'image/png', 'metadata[relativePath]': 'null', 'metadata[name]': 'lake.png', 'metadata[type]': 'image/png' }
  /** What only Uppy 5 says. */
  const five = { accept: 'application/json' }

  t.test('a form takes a file whose size nobody has declared, and complete by the id in its key makes it ready', async t => {
    const reply = await pictures.params(query)
    t.equal(reply.statusCode, 200, reply.body)
    const form = reply.json()
    t.match(form, { method: 'POST', url: /^http/, expires: Number, fields: { key: /^staging\//, 'content-type': 'image/png' } })
    t.ok(form.expires > 890 && form.expires <= 900)
    t.equal((await sendForm(form, picture)).status, 201)
    t.match((await call('POST', `/uploads/${idOf(form.fields)}/complete`, { token: ada })).json().file, {
      status: 'ready', filename: 'lake.png', contentType: 'image/png', sizeBytes: picture.length, owner: 'ada', policy: 'pictures', metadata: {}
    })
  })

  t.test('F5: a client that says nothing after its form is looked after by the first sweep', async t => {
    const { fields, ...form } = (await pictures.params(query)).json()
    await sendForm({ ...form, fields }, picture)
    t.teardown(() => { ahead = 0 })
    await sweepUploads(services)
    t.equal((await fileOf(idOf(fields))).status, 'pending', 'not before it is due')
    ahead = 6_000
    await sweepUploads(services)
    t.equal((await fileOf(idOf(fields))).status, 'ready')
  })

  t.test('T16: a declared size is bound exactly, an undeclared one by the policy', async t => {
    const declared = (await pictures.params({ ...query, 'metadata[size]': String(picture.length) })).json()
    t.ok(isRefused(await sendForm(declared, Buffer.concat([picture, Buffer.from('x')]))))
    t.equal((await sendForm(declared, picture)).status, 201)
    t.equal((await fileOf(idOf(declared.fields))).sizeBytes, picture.length)
    const open = (await pictures.params(query)).json()
    t.ok(isRefused(await sendForm(open, Buffer.alloc(1024 ** 2 + 1))))
  })

  t.test('a policy without forms gives Uppy 5 a PUT when it declares a size', async t => {
    const instructions = (await puts.params({ ...query, 'metadata[size]': String(picture.length) }, five)).json()
    t.match(instructions, { method: 'PUT', headers: { 'content-type': 'image/png', 'if-none-match': '*' }, fields: { key: /^puts\//, bucket: service.bucket } })
    t.equal((await send(instructions, picture)).status, 200)
    t.equal((await call('POST', `/uploads/${idOf(instructions.fields)}/complete`, { token: ada })).json().file.status, 'ready')
  })

  t.test('anyone else is told what to do', async t => {
    const before = (await call('GET', '/files?status=pending', { token: ada })).json().data.length
    t.match((await puts.params(query, five)).json(), { code: 'INVALID_REQUEST', message: /let the policy take forms \(methods: POST\), or send the size of the file as "size" in the metadata/ })
    t.match((await puts.params({ ...query, 'metadata[size]': '10' })).json(), { code: 'INVALID_REQUEST', message: /let the policy take forms/ }, 'Uppy 6 cannot send a PUT')
    t.equal((await call('GET', '/files?status=pending', { token: ada })).json().data.length, before, 'and nothing is created')
  })

  t.test('what the file is called, and what is kept with it', async t => {
    const rows: ReadonlyArray<[name: string, sent: Record<string, string>, file: object]> = [
      ['the name may have been changed', { 'metadata[name]': 'mountain.png' }, { filename: 'mountain.png', metadata: {} }],
      ['an empty name is none', { 'metadata[name]': '' }, { filename: 'lake.png' }],
      ['T23: a name that misleads is cleaned', { 'metadata[name]': 'a\u202Egnp.exe' }, { filename: 'agnp.exe' }],
      ['values are kept', { 'metadata[album]': 'summer', 'metadata[relativePath]': 'trip/lake.png' }, { metadata: { album: 'summer', relativePath: 'trip/lake.png' } }],
      ['null is as good as absent', { 'metadata[album]': 'null', 'metadata[relativePath]': 'null' }, { metadata: {} }],
      ['T10: facts of the row are not metadata', { 'metadata[owner]': 'eve', 'metadata[status]': 'ready', status: 'ready', owner: 'eve' }, { owner: 'ada', status: 'pending', metadata: { owner: 'eve', status: 'ready' } }]
    ]
    for (const [name, sent, file] of rows) {
      const reply = await pictures.params({ ...query, ...sent })
      t.match(await fileOf(idOf(reply.json().fields)), file, name)
    }
    t.notOk('album' in (await fileOf(idOf((await pictures.params({ ...query, 'metadata[album]': 'null' })).json().fields))).metadata)
  })

  const refused: ReadonlyArray<[name: string, sent: Record<string, string>, status: number, message: RegExp]> = [
    ['no file name', { filename: '' }, 400, /filename/],
    ['a size that is none', { 'metadata[size]': '1e3' }, 400, /metadata "size"/],
    ['a size that is negative', { 'metadata[size]': '-1' }, 400, /metadata "size"/],
    ['a name of metadata with a space', { 'metadata[my album]': 'x' }, 400, /metadata "my album": .*allowedMetaFields/],
    ['T10: a name of metadata that reaches for the prototype', { 'metadata[__proto__]': 'x' }, 400, /metadata "__proto__"/],
    ['a value that is too long', { 'metadata[story]': 'x'.repeat(1025) }, 400, /metadata "story": .*1024/],
    ['T23: a value with a control character', { 'metadata[story]': 'a\u0000b' }, 400, /metadata "story"/],
    ['too many values', Object.fromEntries(Array.from({ length: 33 }, (_, index) => [`metadata[v${index}]`, 'x'])), 400, /At most 32 values/],
    ['a type that the policy does not take', { type: 'text/html' }, 415, /takes image\/png/],
    ['T17: two types at once', { type: 'image/png, text/html' }, 415, /takes image\/png/],
    ['an unknown type', { type: '' }, 415, /takes image\/png/],
    ['a declared size over the policy\'s', { 'metadata[size]': String(1024 ** 2 + 1) }, 413, /up to 1048576 bytes/]
  ]
  for (const [name, sent, status, message] of refused) {
    t.test(`refuses ${name}, saying so`, async t => {
      const reply = await pictures.params({ ...query, ...sent })
      t.equal(reply.statusCode, status, reply.body)
      t.match(reply.json(), { status, message })
      t.equal(reply.json().message, reply.json().detail)
    })
  }

  t.test('a policy that is not there, or does not admit the user', async t => {
    t.match((await uppyClient(service, { path: '/uppy/nope', token: ada }).params(query)).json(), { code: 'POLICY_NOT_FOUND' })
    t.match((await uppyClient(service, { path: '/uppy/guarded', token: ada }).params(query)).json(), { code: 'SCOPE_MISSING' })
    t.match((await uppyClient(service, { path: '/uppy/guarded', token: await token('ada', { scope: 'guarded:write' }) }).params(query)).json(), { code: 'POLICY_FORBIDDEN' })
  })

  t.test('signRequest: a form without a size, a PUT with one, a clear answer for parts', async t => {
    const proposed = { method: 'PUT', key: '0b8a4c1e-2f0d-4b7e-9a51-6f2b8f5c1a77-lake.png', contentType: 'image/png' }
    const form = (await pictures.presign(proposed)).json()
    t.match(form, { url: /^http/, key: /^staging\//, fields: { 'content-type': 'image/png' } })
    t.equal(form.fields.key, form.key)
    t.equal((await sendForm({ ...form, method: 'POST' }, picture)).status, 201)
    t.equal((await fileOf(idOf(form))).filename, 'lake.png')

    const put = (await puts.presign({ ...proposed, size: picture.length })).json()
    t.match(put, { key: /^puts\//, headers: { 'content-type': 'image/png', 'if-none-match': '*' } })
    t.equal((await send({ ...put, method: 'PUT' }, picture)).status, 200)
    t.equal((await call('POST', `/uploads/${idOf(put)}/complete`, { token: ada })).json().file.status, 'ready')

    for (const request of [{ method: 'POST' }, { method: 'PUT', uploadId: 'u', partNumber: 1 }, { method: 'GET', uploadId: 'u' }, { method: 'POST', uploadId: 'u' }, { method: 'DELETE', uploadId: 'u' }]) {
      t.match((await pictures.presign({ ...proposed, ...request })).json(), { code: 'INVALID_REQUEST', message: /shouldUseMultipart: false.*companionEndpoint/ })
    }
    t.match((await puts.presign(proposed)).json(), { code: 'INVALID_REQUEST', message: /size/ })
  })

  t.test('T13: no credentials are handed out', async t => {
    t.match((await call('GET', '/uppy/pictures/s3/sts', { token: ada })).json(), { status: 404, code: 'NOT_FOUND', message: /No credentials are handed out/ })
  })
}
