import { randomBytes } from 'node:crypto'
import { openAsBlob } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { upload, UploadError, type UploadedFile, type UploadInstructions, type UploadOptions } from '../../src/client/upload.js'
import { png } from '../helpers/samples.js'
import { makeTemporaryFolder } from '../helpers/s3.js'
import { until } from '../helpers/until.js'
import type { Seen } from './fixtures/relay.js'
import { setScene, type Scene } from './fixtures/scene.js'

const MIB = 1024 ** 2
const PICTURE = new File([png()], 'lake.png', { type: 'image/png' })

t.test('a file of each method arrives as it is', async t => {
  const scene = await setScene(t)
  const rows: ReadonlyArray<[method: 'PUT' | 'POST' | 'multipart', policy: string, file: File]> = [
    ['PUT', 'pictures', PICTURE],
    ['POST', 'forms', PICTURE],
    ['multipart', 'parts', new File([randomBytes(11 * MIB)], 'film.bin', { type: 'application/octet-stream' })]
  ]
  for (const [method, policy, file] of rows) {
    await t.test(method, async t => {
      const progress: Array<[number, number]> = []
      let created: UploadedFile | undefined
      let instructions: UploadInstructions | undefined
      const uploaded = await upload(file, {
        ...optionsOf(scene),
        policy,
        metadata: { album: 'summer' },
        onCreated (file, how) {
          created = file
          instructions = how
        },
        onProgress: (sent, total) => progress.push([sent, total])
      })
      t.match(uploaded, { status: 'ready', method, filename: file.name, contentType: file.type, sizeBytes: file.size, metadata: { album: 'summer' } })
      t.equal(created?.id, uploaded.id)
      t.equal(instructions?.method, method)
      t.ok(await isSame(scene, uploaded, file), 'the bytes are those that were sent')
      t.same(progress.at(-1), [file.size, file.size])
      t.ok(progress.every(([sent, total]) => sent <= total && total === file.size))
    })
  }
  t.same(partsOf(scene), [1, 2, 3], 'each part was sent once')
  t.equal(scene.front.count('POST', '/parts'), 0, 'the first URLs came with the upload')
})

t.test('name, type and checksum are taken from the options before the file', async t => {
  const scene = await setScene(t)
  const file = new File(['hello'], 'a.bin', { type: 'text/plain;charset=utf-8' })
  const plain = await upload(file, { ...optionsOf(scene), policy: 'notes' })
  t.match(plain, { filename: 'a.bin', contentType: 'text/plain' }, 'the type goes without its parameters')
  const checksumSha256 = 'LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ='
  const named = await upload(file, { ...optionsOf(scene), policy: 'notes', filename: 'b.txt', contentType: 'text/markdown', checksum: { checksumSha256 } })
  t.match(named, { filename: 'b.txt', contentType: 'text/markdown', checksumSha256 })
  const changed = await upload(new File(['changed'], 'c.txt', { type: 'text/plain' }), { ...optionsOf(scene), policy: 'notes', replaces: plain.id })
  t.equal(changed.id, plain.id)
})

t.test('whatever can be read in slices is a file', async t => {
  const scene = await setScene(t)
  const bytes = randomBytes(6 * MIB)
  const source = {
    size: bytes.length,
    slice: (start: number, end: number) => ({ arrayBuffer: async () => new Uint8Array(bytes.subarray(start, end)).buffer })
  }
  const uploaded = await upload(source, { ...optionsOf(scene), policy: 'parts' })
  t.match(uploaded, { method: 'multipart', filename: 'file', contentType: 'application/octet-stream' })
  t.ok((await scene.bytesOf(uploaded)).equals(bytes))
})

t.test('several parts go up at a time, and no more than asked for', async t => {
  const scene = await setScene(t)
  let release = (): void => {}
  const released = new Promise<void>(resolve => { release = resolve })
  scene.storage.onNext('PUT', 'partNumber=', { until: released }, 9)
  const sending = upload(new File([randomBytes(21 * MIB)], 'a.bin'), { ...optionsOf(scene), policy: 'parts', concurrency: 2 })
  await Promise.all([scene.storage.arrival('PUT', 'partNumber=1'), scene.storage.arrival('PUT', 'partNumber=2')])
  release()
  t.equal((await sending).status, 'ready')
  t.equal(scene.storage.mostAtOnce(), 2)
  t.same(partsOf(scene), [1, 2, 3, 4, 5])
})

t.test('the URLs of further parts are asked for', async t => {
  const scene = await setScene(t)
  scene.front.onNext('POST', '/uploads', {
    change: body => {
      const reply = JSON.parse(body) as { upload: { parts: unknown[] } }
      reply.upload.parts.length = 1
      return JSON.stringify(reply)
    }
  })
  const uploaded = await upload(new File([randomBytes(16 * MIB)], 'a.bin'), { ...optionsOf(scene), policy: 'parts' })
  t.equal(uploaded.status, 'ready')
  t.equal(scene.front.count('POST', '/parts'), 1, 'once for all of them')
  t.same(partsOf(scene), [1, 2, 3, 4])
})

t.test('a service that gives no URL is not asked without end', async t => {
  const scene = await setScene(t)
  scene.front.onNext('POST', '/uploads', { change: body => body.replace(/"parts":\[.*?\]/, '"parts":[]') })
  scene.front.onNext('POST', '/parts', { status: 200, body: '{"parts":[]}' }, Infinity)
  await t.rejects(upload(new File([randomBytes(6 * MIB)], 'a.bin'), { ...optionsOf(scene), policy: 'parts' }), { code: 'UNEXPECTED_REPLY' })
  t.equal(scene.front.count('POST', '/parts'), 1)
})

t.test('an upload that another client has completed in the meantime is ready', async t => {
  const scene = await setScene(t)
  let theirs: Promise<UploadedFile> | undefined
  const file = new File([randomBytes(11 * MIB)], 'a.bin')
  // Their tab does all the work while a part of ours gets no reply.
  let release = (): void => {}
  scene.storage.onNext('PUT', 'partNumber=1', { until: new Promise<void>(resolve => { release = resolve }) })
  const ours = upload(file, {
    ...optionsOf(scene),
    policy: 'parts',
    concurrency: 1,
    onCreated: ({ id }) => {
      theirs = scene.storage.arrival('PUT', 'partNumber=1').then(async () => await upload(file, { ...optionsOf(scene), policy: 'parts', uploadId: id }))
      theirs.finally(() => release())
    }
  })
  const uploaded = await ours
  t.equal(uploaded.status, 'ready')
  t.equal(uploaded.id, (await theirs)?.id)
  t.ok(await isSame(scene, uploaded, file))
})

t.test('a lost reply never makes a second upload', async t => {
  const scene = await setScene(t)
  scene.front.onNext('POST', '/uploads', 'lose')
  scene.front.onNext('POST', '/complete', 'lose')
  const uploaded = await upload(PICTURE, { ...optionsOf(scene), policy: 'pictures' })
  t.equal(uploaded.status, 'ready')
  t.equal(scene.front.count('POST', '/complete'), 2)
  const keys = scene.front.seen.filter(({ path }) => path === '/uploads').map(({ headers }) => headers['idempotency-key'])
  t.equal(keys.length, 2)
  t.equal(keys[0], keys[1])
  t.equal(await scene.countUploads(), 1)
  await upload(PICTURE, { ...optionsOf(scene), policy: 'pictures' })
  t.equal(await scene.countUploads(), 2, 'and the next upload is another one')
})

t.test('an idempotency key of one\'s own finds the same upload again', async t => {
  const scene = await setScene(t)
  const first = await upload(PICTURE, { ...optionsOf(scene), policy: 'pictures', idempotencyKey: 'lake' })
  const progress: number[] = []
  const second = await upload(PICTURE, { ...optionsOf(scene), policy: 'pictures', idempotencyKey: 'lake', onProgress: sent => progress.push(sent) })
  t.equal(second.id, first.id)
  t.same(progress, [PICTURE.size], 'it is all there')
  t.equal(scene.storage.count('PUT'), 1, 'nothing is sent again')
})

t.test('a 412 says that an earlier try has arrived', async t => {
  const scene = await setScene(t)
  scene.storage.onNext('PUT', '', 'lose')
  const uploaded = await upload(PICTURE, { ...optionsOf(scene), policy: 'pictures' })
  t.equal(uploaded.status, 'ready')
  t.same(scene.storage.seen.map(({ status }) => status), [200, 412])
})

t.test('a connection that was cut is tried again, with fresh instructions', async t => {
  const scene = await setScene(t)
  scene.front.onNext('POST', '/uploads', 'cut')
  scene.storage.onNext('PUT', '', 'cut')
  scene.storage.onNext('POST', '', 'cut')
  t.equal((await upload(PICTURE, { ...optionsOf(scene), policy: 'pictures' })).status, 'ready')
  t.equal((await upload(PICTURE, { ...optionsOf(scene), policy: 'forms' })).status, 'ready')
  t.equal(scene.front.count('GET', '/uploads/'), 2)
  t.equal(await scene.countUploads(), 2)
})

t.test('an expired URL is replaced by a fresh one', async t => {
  const scene = await setScene(t)
  scene.front.onNext('GET', '/uploads/', () => scene.s3.setNow(() => new Date()))
  const uploaded = await upload(PICTURE, {
    ...optionsOf(scene),
    policy: 'pictures',
    onCreated: () => scene.s3.setNow(() => new Date(Date.now() + 3600_000))
  })
  t.equal(uploaded.status, 'ready')
  t.same(scene.storage.seen.map(({ status }) => status), [403, 200])
})

for (const [name, fault] of [
  ['a busy storage', { status: 503 }],
  ['an expired URL', { status: 403, body: '<Error><Code>AccessDenied</Code></Error>' }],
  ['a body that came too slowly', { status: 400, body: '<Error><Code>RequestTimeout</Code></Error>' }],
  ['a connection that broke', 'cut'],
  ['a storage that knows of no upload', { status: 404, body: '<Error><Code>NoSuchUpload</Code></Error>' }]
] as const) {
  t.test(`one part is sent again after ${name}`, async t => {
    const scene = await setScene(t)
    scene.storage.onNext('PUT', 'partNumber=2', fault)
    const file = new File([randomBytes(16 * MIB)], 'a.bin')
    const uploaded = await upload(file, { ...optionsOf(scene), policy: 'parts' })
    t.same(partsOf(scene), [1, 2, 2, 3, 4])
    t.ok(await isSame(scene, uploaded, file))
  })
}

t.test('the service is asked again after as long as it says', async t => {
  const scene = await setScene(t)
  scene.front.onNext('POST', '/uploads', { status: 429, headers: { 'retry-after': '1' } })
  const start = performance.now()
  const uploaded = await upload(PICTURE, { ...optionsOf(scene), policy: 'pictures' })
  t.equal(uploaded.status, 'ready')
  // A timer may come a millisecond early.
  t.ok(performance.now() - start >= 999)

  scene.front.onNext('POST', '/uploads', { status: 429, headers: { 'retry-after': '3600' }, body: '{"code":"RATE_LIMITED","detail":"Wait."}' })
  const error = await t.rejects(upload(PICTURE, { ...optionsOf(scene), policy: 'pictures' }), { code: 'RATE_LIMITED', status: 429, detail: 'Wait.', retryAfterSeconds: 3600 })
  t.ok(error, 'an hour is not waited for')
})

t.test('a service that fails for a moment is asked again', async t => {
  const scene = await setScene(t)
  scene.front.onNext('POST', '/uploads', { status: 408 })
  scene.front.onNext('POST', '/complete', { status: 429 })
  t.equal((await upload(PICTURE, { ...optionsOf(scene), policy: 'pictures' })).status, 'ready')
  scene.front.onNext('POST', '/uploads', { status: 502, body: '<h1>Bad Gateway</h1>' })
  scene.front.onNext('POST', '/complete', { status: 200, body: '{"file":{"id"' })
  t.equal((await upload(PICTURE, { ...optionsOf(scene), policy: 'pictures' })).status, 'ready', 'also when something else answers, or half of it')
  t.equal(scene.front.seen.length, 8)
})

t.test('a file that is still being looked at is asked for again', async t => {
  const scene = await setScene(t)
  scene.front.onNext('POST', '/complete', { status: 202, headers: { 'retry-after': '1' }, body: '{"file":{"status":"verifying"}}' })
  t.equal((await upload(PICTURE, { ...optionsOf(scene), policy: 'pictures' })).status, 'ready')
  t.equal(scene.front.count('POST', '/complete'), 2)
})

t.test('bytes that a storage has lost are sent again', async t => {
  const scene = await setScene(t)
  scene.storage.onNext('PUT', '', { status: 200 })
  t.equal((await upload(PICTURE, { ...optionsOf(scene), policy: 'pictures' })).status, 'ready')
  t.same(scene.front.seen.filter(({ path }) => path.endsWith('/complete')).map(({ status }) => status), [409, 200])
})

t.test('an upload that broke off goes on with what is missing', async t => {
  const scene = await setScene(t)
  scene.storage.onNext('PUT', 'partNumber=2', { status: 400, body: '<Error><Code>InvalidRequest</Code></Error>' })
  scene.storage.onNext('PUT', 'partNumber=1', { until: scene.storage.arrival('PUT', 'partNumber=2').then(heardOf) })
  const file = new File([randomBytes(16 * MIB)], 'a.bin')
  const options = { ...optionsOf(scene), policy: 'parts', concurrency: 2 }
  const error = await upload(file, options).catch((error: unknown) => error)
  if (!(error instanceof UploadError) || error.uploadId === undefined) return t.fail(`not an UploadError: ${error}`)
  t.match(error, { code: 'STORAGE_ERROR', status: 400, detail: 'The object storage answered 400 InvalidRequest' })
  t.equal(await scene.statusOf(error.uploadId), 'pending', 'it is kept')
  t.same(partsOf(scene), [1, 2], 'the part that was under way is finished, and no other was begun')

  const { uploadId } = error
  await t.rejects(upload(new File(['other'], 'a.bin'), { ...options, uploadId }), { code: 'OBJECT_MISMATCH' }, 'a file of another size is not taken for it')
  const progress: number[] = []
  const uploaded = await upload(file, { ...options, uploadId, onProgress: sent => progress.push(sent) })
  t.equal(uploaded.id, uploadId)
  t.ok((progress[0] ?? 0) >= 5 * MIB, 'what has arrived counts from the start')
  t.same(partsOf(scene), [1, 2, 2, 3, 4], 'what has arrived is not sent again')
  t.ok(await isSame(scene, uploaded, file))
  t.equal((await upload(file, { ...options, uploadId })).id, uploadId, 'and once it is ready there is nothing to do')
})

t.test('a token that is not taken is replaced once', async t => {
  const scene = await setScene(t)
  const tokens = ['worn-out']
  const uploaded = await upload(PICTURE, { ...optionsOf(scene), policy: 'pictures', token: async () => tokens.pop() ?? scene.token })
  t.equal(uploaded.status, 'ready')
  t.same(scene.front.seen.map(({ status }) => status), [401, 201, 200])

  scene.front.seen.length = 0
  await t.rejects(upload(PICTURE, { ...optionsOf(scene), policy: 'pictures', token: () => 'never good' }), { code: 'UNAUTHENTICATED', status: 401 })
  t.equal(scene.front.seen.length, 2)
  await t.rejects(upload(PICTURE, { ...optionsOf(scene), policy: 'pictures', token: 'never good' }), { code: 'UNAUTHENTICATED' })
  t.equal(scene.front.seen.length, 3)
  await t.rejects(upload(PICTURE, { ...optionsOf(scene), policy: 'pictures', token: async () => { throw new Error('signed out') } }), { message: 'signed out' })
})

t.test('what the service refuses is an UploadError with its code, at once', async t => {
  const scene = await setScene(t)
  const rows: ReadonlyArray<[code: string, status: number, file: File, options: Partial<UploadOptions>]> = [
    ['CONTENT_TYPE_NOT_ALLOWED', 415, new File(['x'], 'a.exe', { type: 'application/x-msdownload' }), {}],
    ['FILE_TOO_LARGE', 413, new File([new Uint8Array(MIB + 1)], 'a.png', { type: 'image/png' }), {}],
    ['POLICY_NOT_FOUND', 404, PICTURE, { policy: 'nope' }],
    ['UPLOAD_NOT_FOUND', 404, PICTURE, { uploadId: 'nope' }],
    ['OBJECT_MISMATCH', 422, new File(['<script>'], 'a.png', { type: 'image/png' }), {}]
  ]
  for (const [code, status, file, options] of rows) {
    const error = await upload(file, { ...optionsOf(scene), policy: 'pictures', ...options }).catch((error: unknown) => error)
    t.ok(error instanceof UploadError, code)
    t.match(error, { code, status, detail: /\w/, message: code })
  }
  t.equal(scene.front.seen.length, 6, 'nothing is tried twice')
})

t.test('a signal gives the upload up', async t => {
  const scene = await setScene(t)
  const never = new Promise(() => {})
  const rows: ReadonlyArray<[name: string, policy: string, file: File, hold: (scene: Scene) => Promise<unknown>]> = [
    ['while one PUT is on its way', 'pictures', PICTURE, async ({ storage }) => {
      storage.onNext('PUT', '/pictures/', { until: never })
      await storage.arrival('PUT', '/pictures/')
    }],
    ['while parts are on their way', 'parts', new File([randomBytes(11 * MIB)], 'a.bin'), async ({ storage }) => {
      storage.onNext('PUT', 'partNumber=2', { until: never })
      await storage.arrival('PUT', 'partNumber=2')
    }],
    ['while it waits for the next try', 'forms', PICTURE, async ({ storage, front }) => {
      storage.onNext('POST', '', { status: 503 })
      front.onNext('GET', '/uploads/', { status: 503, headers: { 'retry-after': '60' } })
      await front.arrival('GET', '/uploads/')
    }]
  ]
  for (const [name, policy, file, hold] of rows) {
    await t.test(name, async t => {
      const controller = new AbortController()
      const holding = hold(scene)
      let id = ''
      const sending = upload(file, { ...optionsOf(scene), policy, signal: controller.signal, onCreated: file => { id = file.id } })
      await holding
      const reason = new Error('changed my mind')
      controller.abort(reason)
      await t.rejects(sending, reason)
      await scene.front.arrival('DELETE', id)
      await until(async () => await scene.statusOf(id) === 'expired')
    })
  }
})

t.test('an upload that was given up before its id was known is taken back', async t => {
  const scene = await setScene(t)
  let release = (): void => {}
  scene.front.onNext('POST', '/uploads', { until: new Promise<void>(resolve => { release = resolve }) })
  const controller = new AbortController()
  const sending = upload(PICTURE, { ...optionsOf(scene), policy: 'pictures', signal: controller.signal })
  await scene.front.arrival('POST', '/uploads')
  controller.abort()
  await t.rejects(sending, { name: 'AbortError' }, 'the promise does not wait')
  release()
  const { path } = await scene.front.arrival('DELETE', '/uploads/')
  await until(async () => await scene.statusOf(path.slice('/uploads/'.length)) === 'expired')
  t.equal(scene.storage.seen.length, 0)

  const { length } = scene.front.seen
  await t.rejects(upload(PICTURE, { ...optionsOf(scene), policy: 'pictures', signal: AbortSignal.abort() }), { name: 'AbortError' })
  t.equal(scene.front.seen.length, length, 'with a signal that has come already, nothing begins')
})

t.test('a pause keeps what has arrived', async t => {
  const scene = await setScene(t)
  // The second part gets no reply before the pause.
  scene.storage.onNext('PUT', 'partNumber=2', { until: new Promise(() => {}) })
  const file = new File([randomBytes(16 * MIB)], 'a.bin')
  const options = { ...optionsOf(scene), policy: 'parts', concurrency: 1 }
  const controller = new AbortController()
  let uploadId = ''
  const sending = upload(file, { ...options, pauseSignal: controller.signal, onCreated: ({ id }) => { uploadId = id } })
  await scene.storage.arrival('PUT', 'partNumber=2')
  const reason = new Error('later')
  controller.abort(reason)
  await t.rejects(sending, reason)
  t.equal(await scene.statusOf(uploadId), 'pending')
  t.same(partsOf(scene), [1, 2], 'no other part is begun')

  const uploaded = await upload(file, { ...options, uploadId })
  t.equal(uploaded.id, uploadId)
  t.ok(partsOf(scene).filter(partNumber => partNumber === 1).length === 1, 'the first part is not sent again')
  t.ok(await isSame(scene, uploaded, file))
  t.equal(scene.front.count('DELETE'), 0)

  const { length } = scene.front.seen
  await t.rejects(upload(PICTURE, { ...options, pauseSignal: AbortSignal.abort(reason) }), reason)
  t.equal(scene.front.seen.length, length, 'with a signal that has come already, nothing begins')
})

for (const [name, isGivenUp] of [['goes on with the same key', false], ['may still be given up', true]] as const) {
  t.test(`an upload that was paused before its id was known ${name}`, async t => {
    const scene = await setScene(t)
    let release = (): void => {}
    scene.front.onNext('POST', '/uploads', { until: new Promise<void>(resolve => { release = resolve }) })
    const pausing = new AbortController()
    const controller = new AbortController()
    const created: string[] = []
    const options = { ...optionsOf(scene), policy: 'pictures', idempotencyKey: 'lake', signal: controller.signal, onCreated: ({ id }: UploadedFile) => created.push(id) }
    const sending = upload(PICTURE, { ...options, pauseSignal: pausing.signal })
    await scene.front.arrival('POST', '/uploads')
    pausing.abort()
    await t.rejects(sending, { name: 'AbortError' }, 'the promise does not wait')
    if (isGivenUp) {
      controller.abort()
      release()
      const { path } = await scene.front.arrival('DELETE', '/uploads/')
      await until(async () => await scene.statusOf(path.slice('/uploads/'.length)) === 'expired')
      t.same(created, [])
    } else {
      release()
      await until(() => created.length === 1)
      t.equal(scene.storage.seen.length, 0, 'nothing is sent')
      t.equal((await upload(PICTURE, options)).id, created[0])
      t.equal(await scene.countUploads(), 1)
    }
  })
}

t.test('whoever wants to know hears of every fault that is tried again', async t => {
  const scene = await setScene(t)
  scene.front.onNext('POST', '/uploads', { status: 503 })
  scene.storage.onNext('PUT', 'partNumber=2', { status: 503 })
  scene.storage.onNext('PUT', 'partNumber=3', 'cut')
  scene.front.onNext('POST', '/complete', { status: 429, body: '{"code":"RATE_LIMITED"}' })
  const faults: unknown[] = []
  await upload(new File([randomBytes(11 * MIB)], 'a.bin'), { ...optionsOf(scene), policy: 'parts', concurrency: 1, onRetry: ({ code, status }) => faults.push([code, status]) })
  t.same(faults, [['UNEXPECTED_REPLY', 503], ['STORAGE_ERROR', 503], ['NETWORK_ERROR', 0], ['RATE_LIMITED', 429]])
  scene.storage.onNext('PUT', '/pictures/', 'cut')
  await upload(PICTURE, { ...optionsOf(scene), policy: 'pictures', onRetry: ({ code }) => faults.push(code) })
  t.equal(faults.at(-1), 'NETWORK_ERROR')
})

t.test('a file that changes on the disk is no lost connection', async t => {
  const scene = await setScene(t)
  const path = join(await makeTemporaryFolder(t), 'a.png')
  await writeFile(path, png(1))
  const file = await openAsBlob(path, { type: 'image/png' })
  const sending = upload(file, { ...optionsOf(scene), policy: 'pictures', onCreated: () => { changed = writeFile(path, 'something else') } })
  let changed: Promise<void> | undefined
  await t.rejects(sending, { name: 'NotReadableError' })
  await changed
  t.equal(scene.front.count('GET', '/uploads/'), 0, 'it is not tried again')
})

function optionsOf ({ front, token }: Scene): Pick<UploadOptions, 'baseUrl' | 'token'> {
  return { baseUrl: `${front.url}/`, token }
}

async function isSame (scene: Scene, uploaded: UploadedFile, file: Blob): Promise<boolean> {
  return (await scene.bytesOf(uploaded)).equals(Buffer.from(await file.arrayBuffer()))
}

/** Resolves when the client, which shares this event loop, has long read the reply. */
async function heardOf ({ answered }: Seen): Promise<void> {
  await answered
  for (let turn = 0; turn < 100; turn++) await nextTurn()
}

/** The numbers of the parts that were sent, in order. */
function partsOf ({ storage }: Scene): number[] {
  return storage.seen.map(({ path }) => Number(/partNumber=(\d+)/.exec(path)?.[1] ?? 0)).filter(number => number > 0).sort((a, b) => a - b)
}
