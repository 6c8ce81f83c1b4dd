import { HeadObjectCommand } from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import { upload as uploadByClient } from '../../src/client/upload.js'
import { reconcile } from '../../src/jobs/reconcile.js'
import { sendForm } from '../helpers/form.js'
import { startReceiver } from '../helpers/receiver.js'
import { png } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { ENGINES, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { hook, picture, startWebhookService } from '../helpers/webhooks.js'

const s3 = await startTestS3(t)
const MINUTE = 60_000
/** What every scanner knows, in two pieces, so that none takes this file for it: https://www.eicar.org/download-anti-malware-testfile/ */
const EICAR = Buffer.from(['X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR', '-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'].join(''))

const policies = `
policies:
  pictures:
    contentTypes: [image/png]
    maxSize: 1MiB
    key: "pictures/{fileId}"
    visibility: public
    methods: [PUT, POST, multipart]
    quota: { files: 100, pending: 50 }
    scan: { deadlineSeconds: 3600 }
  texts:
    contentTypes: [text/plain]
    maxSize: 1MiB
    key: "texts/{fileId}"
    visibility: public
    scan: { deadlineSeconds: 600, onDeadline: reject }
`

for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  async function start (t: Test, url = 'http://127.0.0.1:1/') {
    const service = await startWebhookService(t, s3, { engine, policies, webhooks: `scanner: ${hook(url)}` })
    const { call, token, services, bucket } = service
    const scanner = await token('scanner', { scope: 'files:scan' })
    return {
      ...service,
      scanner,
      verdict: async (id: string, verdict: string, detail?: string) => await call('POST', `/files/${id}/verdict`, { token: scanner, body: { verdict, ...(detail !== undefined && { detail }) } }),
      download: async (id: string, token?: string) => await call('POST', '/downloads', { token: token ?? service.ada, body: { fileId: id } }),
      usage: async () => (await call('GET', '/usage', { token: service.ada })).json().data.find((item: { policy: string }) => item.policy === 'pictures'),
      events: async (id: string) => (await service.outbox()).filter(row => row.file_id === id).map(({ type }) => type),
      stored: async (key: string) => await s3.client.send(new HeadObjectCommand({ Bucket: bucket, Key: key })).then(() => true, () => false),
      row: async (id: string) => await services.database.selectFrom('files').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
    }
  }

  t.test('I9: a file that goes to its scanner between the look of the sweeper and its decision keeps its time there', async t => {
    const { create, complete, after, sweep, row, services } = await start(t)
    const { file, upload } = await create({ policy: 'texts', filename: 'a.txt', contentType: 'text/plain', sizeBytes: EICAR.length })
    after(61_000)
    const { releaseToPending } = services.files
    const looked = t.intercept(services.files, 'releaseToPending', {
      async value (...args: Parameters<typeof releaseToPending>) {
        const released = await releaseToPending(...args)
        await send(upload, EICAR)
        t.match((await complete(file.id)).json(), { file: { status: 'scanning' } })
        return released
      }
    })
    t.match(await sweep(), { swept: 1, ready: 0 })
    t.equal(looked().length > 0, true)
    after(5 * 60_000)
    await sweep()
    t.equal((await row(file.id)).status, 'scanning')
    after(6 * 60_000)
    await sweep()
    t.equal((await row(file.id)).status, 'rejected', 'and not more of it')
  })

  t.test('T30: a harmful file is told to the scanner, found, rejected, and gone', async t => {
    const receiver = await startReceiver(t)
    const { call, ada, scanner, deliver, stored, events, complete } = await start(t, receiver.url)
    const { file, upload } = (await call('POST', '/uploads', { token: ada, body: { policy: 'texts', filename: 'invoice.txt', contentType: 'text/plain', sizeBytes: EICAR.length } })).json()
    await send(upload, EICAR)
    const completed = await complete(file.id)
    t.equal(completed.statusCode, 200)
    t.match(completed.json(), { file: { id: file.id, status: 'scanning', sizeBytes: EICAR.length, etag: /./ } })
    t.notOk('readyAt' in completed.json().file)

    // The scanner, as it would be written.
    await deliver()
    const event = JSON.parse(receiver.received[0]?.body ?? '')
    t.match(event, { type: 'file.scanning', data: { id: file.id, owner: 'ada', policy: 'texts', contentType: 'text/plain', sizeBytes: EICAR.length } })
    const { download } = (await call('POST', '/downloads', { token: scanner, body: { fileId: event.data.id } })).json()
    const bytes = (await send(download)).body
    t.strictSame(bytes, EICAR)
    const verdict = bytes.includes('EICAR') ? { verdict: 'infected', detail: 'Eicar-Test-Signature' } : { verdict: 'clean' }
    const reply = await call('POST', `/files/${event.data.id}/verdict`, { token: scanner, body: verdict })
    t.equal(reply.statusCode, 200)
    t.match(reply.json(), { file: { status: 'rejected', rejectedReason: 'The scanner found something harmful: Eicar-Test-Signature.' } })
    t.equal(await stored(file.key), false)
    t.equal((await send(download)).status, 404)
    t.match((await complete(file.id)).json(), { code: 'OBJECT_MISMATCH', detail: /Eicar-Test-Signature/ })
    t.strictSame(await events(file.id), ['file.scanning', 'file.rejected'])
    t.match((await call('GET', `/files/${file.id}`, { token: ada })).json(), { file: { status: 'rejected' } })
  })

  t.test('T30: before the verdict nobody but the scanner gets the bytes, after a clean one everyone may who could', async t => {
    const { upload, call, ada, token, scanner, verdict, download, events, usage } = await start(t)
    const file = await upload()
    t.equal(file.status, 'scanning')
    t.match(await usage(), { files: 1, bytes: picture.length, pending: 1 })
    const admin = await token('root', { scope: 'files:admin' })
    const eve = await token('eve')
    for (const [name, someone, status] of [['its owner', ada, 409], ['an administrator', admin, 409], ['another user, though it will be public', eve, 404]] as const) {
      t.equal((await download(file.id, someone)).statusCode, status, name)
      t.equal((await call('GET', `/downloads/${file.id}`, { token: someone })).statusCode, status, name)
    }
    t.equal((await call('GET', `/downloads/${file.id}`)).statusCode, 401, 'nobody')
    t.equal((await download(file.id, scanner)).statusCode, 201)
    t.strictSame((await call('GET', '/files', { token: ada })).json().data, [])
    t.match((await call('GET', '/files?status=scanning', { token: ada })).json().data, [{ id: file.id }])
    t.match((await call('GET', '/files?status=scanning&owner=ada', { token: admin })).json().data, [{ id: file.id }])

    for (const [name, someone, status] of [['nobody', undefined, 401], ['its owner', ada, 403], ['another user', eve, 403]] as const) {
      t.equal((await call('POST', `/files/${file.id}/verdict`, { token: someone, body: { verdict: 'clean' } })).statusCode, status, `T30: the verdict of ${name}`)
    }
    t.match((await verdict(file.id, 'clean')).json(), { file: { status: 'ready', readyAt: String } })
    for (const someone of [ada, admin, eve]) t.equal((await download(file.id, someone)).statusCode, 201)
    t.equal((await call('GET', `/downloads/${file.id}`)).statusCode, 307)
    t.match(await usage(), { files: 1, bytes: picture.length, pending: 0 })
    t.strictSame(await events(file.id), ['file.scanning', 'file.ready'])
  })

  t.test('the scope of a scanner opens nothing else', async t => {
    const { upload, scanner, verdict, download, call, create } = await start(t)
    const file = await upload()
    await verdict(file.id, 'clean')
    const pending = (await create()).file
    for (const id of [file.id, pending.id]) {
      t.equal((await call('GET', `/files/${id}`, { token: scanner })).statusCode, 404)
      t.equal((await call('DELETE', `/files/${id}`, { token: scanner })).statusCode, 404)
    }
    t.equal((await download(pending.id, scanner)).statusCode, 404)
    t.equal((await download(file.id, scanner)).statusCode, 201, 'this one is public now')
  })

  t.test('T30: a verdict may be repeated, and the first one counts', async t => {
    const { upload, verdict, events, create, complete } = await start(t)
    const clean = await upload()
    for (let time = 0; time < 3; time++) t.match((await verdict(clean.id, 'clean')).json(), { file: { status: 'ready' } })
    const late = await verdict(clean.id, 'infected')
    t.equal(late.statusCode, 409)
    t.match(late.json(), { code: 'VERDICT_CONFLICT' })
    const bad = await upload()
    for (let time = 0; time < 3; time++) t.match((await verdict(bad.id, 'infected')).json(), { file: { status: 'rejected', rejectedReason: 'The scanner found something harmful.' } })
    t.equal((await verdict(bad.id, 'clean')).json().code, 'VERDICT_CONFLICT')
    t.strictSame([await events(clean.id), await events(bad.id)], [['file.scanning', 'file.ready'], ['file.scanning', 'file.rejected']])
    t.equal((await complete(clean.id)).json().file.status, 'ready')

    const pending = (await create()).file
    t.match((await verdict(pending.id, 'clean')).json(), { code: 'FILE_NOT_READY' })
    t.equal((await verdict('unknown', 'clean')).json().code, 'FILE_NOT_FOUND')
    t.equal((await verdict(clean.id, 'fine')).json().code, 'INVALID_REQUEST')
    t.equal((await verdict(clean.id, 'infected', 'a\u0007b')).json().code, 'INVALID_REQUEST')
  })

  t.test('T30: of verdicts that race each other and their owner one wins, and one event tells it', async t => {
    const { upload, verdict, call, ada, events, row, usage } = await start(t)
    for (let round = 0; round < 12; round++) {
      const file = await upload()
      const replies = await Promise.all([verdict(file.id, 'clean'), verdict(file.id, 'infected'), verdict(file.id, 'clean'), ...(round % 3 === 0 ? [call('DELETE', `/files/${file.id}`, { token: ada })] : [])])
      const { status } = await row(file.id)
      const told = await events(file.id)
      t.equal(told[0], 'file.scanning')
      t.ok(told.at(-1) === `file.${status}`, `${told} for ${status}`)
      t.ok(told.length === 2 || (told.length === 3 && told[1] === 'file.ready' && status === 'deleted'), told.join())
      for (const reply of replies) t.ok([200, 204, 404, 409].includes(reply.statusCode), reply.body)
      if (status === 'ready') await call('DELETE', `/files/${file.id}`, { token: ada })
    }
    t.match(await usage(), { files: 0, bytes: 0, pending: 0 })
  })

  t.test('T30: without a verdict a file stays out of reach, and is held', async t => {
    const { upload, after, sweep, row, download, verdict, stored } = await start(t)
    const file = await upload()
    for (const minutes of [30, 31, 61, 61 * 24 * 7]) {
      after(minutes * MINUTE)
      t.match(await sweep(), { ready: 0, expired: 0, deleted: 0 })
      t.equal((await row(file.id)).status, 'scanning')
      t.equal((await download(file.id)).json().code, 'FILE_NOT_READY')
    }
    t.equal(await stored(file.key), true)
    t.match(await sweep(), { swept: 0 }, 'and it is not looked at all the time')
    t.match((await verdict(file.id, 'clean')).json(), { file: { status: 'ready' } })
  })

  t.test('T30: or is rejected, where the policy says so', async t => {
    const { call, ada, complete, after, sweep, row, stored, verdict, events } = await start(t)
    const { file, upload } = (await call('POST', '/uploads', { token: ada, body: { policy: 'texts', filename: 'a.txt', contentType: 'text/plain', sizeBytes: 2 } })).json()
    await send(upload, Buffer.from('ok'))
    await complete(file.id)
    after(9 * MINUTE)
    await sweep()
    t.equal((await row(file.id)).status, 'scanning')
    after(2 * MINUTE)
    await sweep()
    t.match(await row(file.id), { status: 'rejected', rejected_reason: 'No scanner has looked at the file in time.' })
    t.equal(await stored(file.key), false)
    t.equal((await verdict(file.id, 'clean')).json().code, 'VERDICT_CONFLICT')
    t.strictSame(await events(file.id), ['file.scanning', 'file.rejected'])
  })

  t.test('a client that vanishes gets its file scanned all the same', async t => {
    const { create, after, sweep, row, verdict } = await start(t)
    const { file, upload } = await create()
    await send(upload, picture)
    after(2 * MINUTE)
    t.match(await sweep(), { swept: 1, ready: 0 })
    t.equal((await row(file.id)).status, 'scanning')
    t.match((await verdict(file.id, 'clean')).json(), { file: { status: 'ready' } })
  })

  t.test('its owner may give a scanned upload up', async t => {
    const { upload, call, ada, row, stored, verdict, usage, events } = await start(t)
    for (const path of ['uploads', 'files']) {
      const file = await upload()
      t.equal((await call('DELETE', `/${path}/${file.id}`, { token: ada })).statusCode, 204)
      t.equal((await row(file.id)).status, 'expired')
      t.equal(await stored(file.key), false)
      t.equal((await verdict(file.id, 'clean')).json().code, 'VERDICT_CONFLICT')
      t.strictSame(await events(file.id), ['file.scanning', 'file.expired'])
    }
    t.match(await usage(), { files: 0, bytes: 0, pending: 0 })
  })

  t.test('nothing can be sent to a scanned upload, and complete answers from its row', async t => {
    const { create, complete, call, ada } = await start(t)
    const { file, upload } = await create()
    await send(upload, picture)
    for (let time = 0; time < 2; time++) t.match((await complete(file.id)).json(), { file: { status: 'scanning' } })
    t.notOk('upload' in (await call('GET', `/uploads/${file.id}`, { token: ada })).json())
    t.equal((await send(upload, picture)).status, 412, 'T24: its bytes are sealed')
    t.match((await call('PATCH', `/files/${file.id}`, { token: ada, body: { filename: 'b.png' } })).json(), { file: { filename: 'b.png', status: 'scanning' } })
  })

  t.test('T24: a form is sealed before the scanner reads it', async t => {
    const { create, complete, call, scanner, verdict, stored, after, sweep } = await start(t)
    const form = await create({ method: 'POST' })
    await sendForm(form.upload, picture)
    t.match((await complete(form.file.id)).json(), { file: { status: 'scanning' } })
    t.equal(await stored(`staging/${form.file.id}`), false)
    await sendForm(form.upload, png(2))
    const { download } = (await call('POST', '/downloads', { token: scanner, body: { fileId: form.file.id } })).json()
    t.strictSame((await send(download)).body, picture)
    await verdict(form.file.id, 'clean')
    after(16 * MINUTE)
    await sweep()
    t.equal(await stored(`staging/${form.file.id}`), false, 'and what came later is deleted')
  })

  t.test('an upload in parts is scanned as one file', async t => {
    const { create, complete, call, ada, verdict } = await start(t)
    const multipart = await create({ method: 'multipart' })
    await send({ method: 'PUT', ...multipart.upload.parts[0] }, picture)
    t.match((await complete(multipart.file.id)).json(), { file: { status: 'scanning' } })
    t.equal((await call('POST', `/uploads/${multipart.file.id}/parts`, { token: ada, body: {} })).json().code, 'UPLOAD_ALREADY_COMPLETED')
    t.match((await verdict(multipart.file.id, 'clean')).json(), { file: { status: 'ready' } })
  })

  t.test('a replacement takes over only when it is clean', async t => {
    const { upload, create, complete, verdict, call, ada, download, events, usage } = await start(t)
    const file = await upload()
    await verdict(file.id, 'clean')
    const bytes = async () => (await send((await download(file.id)).json().download)).body
    const replace = async (content: Buffer) => {
      const begun = await create({ replaces: file.id, sizeBytes: content.length })
      await send(begun.upload, content)
      t.match((await complete(begun.file.id)).json(), { file: { id: begun.file.id, status: 'scanning', replaces: file.id } })
      t.strictSame(await bytes(), picture, 'the old content is served')
      return begun.file
    }
    const infected = await replace(png(7))
    await verdict(infected.id, 'infected')
    t.strictSame(await bytes(), picture)
    const next = png(8)
    const clean = await replace(next)
    for (let time = 0; time < 2; time++) t.match((await verdict(clean.id, 'clean')).json(), { file: { id: file.id, status: 'ready' } })
    t.strictSame(await bytes(), next)
    t.match((await call('GET', `/uploads/${clean.id}`, { token: ada })).json(), { file: { id: file.id } })
    t.strictSame(await events(file.id), ['file.scanning', 'file.ready', 'file.ready'])
    t.match(await usage(), { files: 1, bytes: next.length, pending: 0 })
  })

  t.test('reconciling leaves a scanned file, its object and its usage alone', async t => {
    const { upload, services, after, stored, verdict } = await start(t)
    const file = await upload()
    after(30 * 24 * 60 * MINUTE)
    const findings = []
    for await (const finding of reconcile(services, { apply: true })) findings.push(finding)
    t.strictSame(findings, [])
    t.equal(await stored(file.key), true)
    t.match((await verdict(file.id, 'clean')).json(), { file: { status: 'ready' } })
  })

  t.test('presignd/client resolves with a scanning file', async t => {
    const { app, ada } = await start(t)
    const baseUrl = await app.listen({ port: 0, host: '127.0.0.1' })
    const file = await uploadByClient(new File([new Uint8Array(picture)], 'a.png', { type: 'image/png' }), { baseUrl, token: ada, policy: 'pictures' })
    t.equal(file.status, 'scanning')
  })

  t.test('GET /policies says that files are scanned', async t => {
    const { call, ada } = await start(t)
    t.match((await call('GET', '/policies', { token: ada })).json().data, [{ name: 'pictures', scanned: true }, { name: 'texts', scanned: true }])
  })
}
