import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PutBucketCorsCommand } from '@aws-sdk/client-s3'
import { build } from 'esbuild'
import type { Browser, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import type { UploadedFile } from '../../src/client/upload.js'
import { devEnvironment } from '../../src/dev/dev-environment.js'
import { newPage } from '../end-to-end/fixtures/demo-page.js'
import { launchBrowser } from '../helpers/browser.js'
import { run } from '../helpers/process.js'
import { makeTemporaryFolder } from '../helpers/s3.js'
import { png } from '../helpers/samples.js'
import { until } from '../helpers/until.js'
import { setScene, type Scene } from './fixtures/scene.js'

const MIB = 1024 ** 2
/** That Chromium opens to one host. */
const CONNECTIONS = 6
interface Outcome { readonly file?: UploadedFile, readonly error?: { readonly name: string, readonly code?: string }, readonly progress: Array<[number, number]>, readonly retries: string[] }

const browser = await launchBrowser(t)
const page = `<!doctype html><script type="module">
import { upload } from '/client.js'
/** Fills a file with bytes that follow from a seed, as Node does it. */
window.sendFile = async ({ base64, times, name, type, ...options }) => {
  const bytes = Uint8Array.from(atob(base64), char => char.charCodeAt(0))
  const progress = window.progress = []
  const retries = []
  window.controller = new AbortController()
  const { signal } = window.controller
  try {
    const file = await upload(new File(Array(times).fill(bytes), name, { type }), { ...options, signal, onProgress: (sent, total) => progress.push([sent, total]), onRetry: ({ code }) => retries.push(code) })
    return { file, progress, retries }
  } catch ({ name, code }) {
    return { error: { name, code }, progress, retries }
  }
}
window.isReady = true
</script>`

t.test('a browser on another origin uploads', async t => {
  const { scene, open } = await setBrowserScene(t)
  const block = randomBytes(MIB / 4)
  const rows: ReadonlyArray<[method: string, policy: string, type: string, bytes: Buffer, times: number]> = [
    ['PUT', 'parts', 'application/octet-stream', block, 16],
    ['POST', 'forms', 'image/png', png(), 1],
    ['multipart', 'parts', 'application/octet-stream', block, 44]
  ]
  for (const [method, policy, type, bytes, times] of rows) {
    await t.test(method, async t => {
      const page = await open()
      const kinds = new Set<string>()
      page.on('request', request => { if (request.url().startsWith(scene.storage.url)) kinds.add(request.resourceType()) })
      const { file, error, progress } = await send(page, { bytes, times, name: 'a', type, policy, baseUrl: scene.front.url, token: scene.token })
      t.notOk(error)
      const size = bytes.length * times
      t.match(file, { method, status: 'ready', sizeBytes: size })
      t.same(progress.at(-1), [size, size])
      if (size > 4096) t.ok(progress.length > 2, 'progress within the file is told')
      t.same([...kinds], ['xhr'])
      const stored = await scene.bytesOf(file as UploadedFile)
      t.equal(sha256(stored), sha256(Buffer.concat(Array<Buffer>(times).fill(bytes))), 'the bytes are those that were sent')
    })
  }
})

t.test('a browser goes on after a lost connection, an expired URL and a busy service', async t => {
  const { scene, open } = await setBrowserScene(t)
  const page = await open()
  scene.storage.onNext('PUT', '', 'cut', 2)
  scene.storage.onNext('PUT', '', { status: 403, headers: { 'access-control-allow-origin': '*' } })
  scene.front.onNext('GET', '/uploads/', 'cut')
  scene.front.onNext('POST', '/complete', 'lose')
  const { file } = await send(page, { bytes: png(), times: 1, name: 'a.png', type: 'image/png', policy: 'pictures', baseUrl: scene.front.url, token: scene.token })
  t.equal(file?.status, 'ready')
  t.equal(await scene.countUploads(), 1)
})

t.test('a file that waits for one of the browser\'s connections is not taken for one that is stuck', async t => {
  const { scene, open } = await setBrowserScene(t)
  const page = await open()
  await page.clock.install()
  let release = (): void => {}
  scene.storage.onNext('GET', '/taken', { until: new Promise<void>(resolve => { release = resolve }) }, CONNECTIONS)
  await page.evaluate(`for (let index = 0; index < ${CONNECTIONS}; index++) fetch('${scene.storage.url}/taken' + index).catch(() => {}); 'asked'`)
  await until(() => scene.storage.count('GET', '/taken') === CONNECTIONS)
  await page.evaluate('{ const { send } = XMLHttpRequest.prototype; XMLHttpRequest.prototype.send = function (body) { send.call(this, body); window.isSending = true } }')
  const sending = send(page, { bytes: png(), times: 1, name: 'a.png', type: 'image/png', policy: 'pictures', baseUrl: scene.front.url, token: scene.token })
  await page.waitForFunction('window.isSending')
  await page.clock.fastForward(90_000)
  release()
  t.match(await sending, { file: { status: 'ready' }, retries: [] })
  t.equal(scene.front.count('GET', '/uploads/'), 0, 'no fresh instructions were needed')
  t.equal(scene.storage.count('PUT'), 1)
})

t.test('a small file that was sent and gets no answer for a minute is sent again', async t => {
  const { scene, open } = await setBrowserScene(t)
  const page = await open()
  await page.clock.install()
  scene.storage.onNext('PUT', '', { until: new Promise(() => {}) })
  const sending = send(page, { bytes: png(), times: 1, name: 'a.png', type: 'image/png', policy: 'pictures', baseUrl: scene.front.url, token: scene.token })
  await page.waitForFunction('window.progress?.length > 0')
  await page.clock.fastForward(60_000)
  t.match(await sending, { file: { status: 'ready' }, retries: ['NETWORK_ERROR'] })
  t.equal(scene.storage.count('PUT'), 2)
})

t.test('a signal gives the upload of a browser up', async t => {
  const { scene, open } = await setBrowserScene(t)
  const page = await open()
  scene.storage.onNext('PUT', '', { until: new Promise(() => {}) })
  const sending = send(page, { bytes: png(), times: 1, name: 'a.png', type: 'image/png', policy: 'pictures', baseUrl: scene.front.url, token: scene.token })
  await scene.storage.arrival('PUT', '')
  const deleted = page.waitForResponse(response => response.request().method() === 'DELETE')
  await page.evaluate('controller.abort()')
  t.match(await sending, { error: { name: 'AbortError' } })
  const response = await deleted
  t.equal(response.status(), 204)
  t.equal(await scene.statusOf(response.url().split('/').at(-1) ?? ''), 'expired')
})

t.test('what the service refuses reaches a browser as an UploadError', async t => {
  const { scene, open } = await setBrowserScene(t)
  const { error } = await send(await open(), { bytes: png(), times: 1, name: 'a.exe', type: 'application/x-msdownload', policy: 'pictures', baseUrl: scene.front.url, token: scene.token })
  t.same(error, { name: 'UploadError', code: 'CONTENT_TYPE_NOT_ALLOWED' })
})

t.test('examples/browser', async t => {
  const html = await readFile('examples/browser/index.html', 'utf8')
  await t.test('has less than 60 lines of script, and nothing from elsewhere', async t => {
    const script = /<script type="module">\n(.*)<\/script>/s.exec(html)?.[1] ?? ''
    const lines = script.trimEnd().split('\n').length
    t.ok(lines > 20 && lines < 60, `${lines} lines`)
    t.notMatch(html, /<(script|link|img)[^>]+(src|href)=|\bimport\b|@import/)
  })

  const serving = run(t, process.execPath, ['examples/browser/serve.js'], { PORT: '0' })
  const [origin] = await serving.output(/http:\/\/localhost:\d+/)
  const { scene } = await setBrowserScene(t, origin)

  await t.test('uploads a picture and shows it', async t => {
    const page = await openExample(t, browser, origin, scene)
    await page.setInputFiles('[name=picture]', { name: 'lake.png', mimeType: 'image/png', buffer: png() })
    await page.getByRole('button', { name: 'Upload' }).click()
    await page.getByText('lake.png is uploaded.').waitFor()
    const image = page.getByRole('img', { name: 'lake.png' })
    await image.waitFor()
    await page.waitForFunction('document.querySelector("img").naturalWidth === 1')
    t.match(await image.getAttribute('src'), /X-Amz-Signature=/)
    t.equal(await scene.countUploads(), 1)
  })

  await t.test('says what is wrong, in words', async t => {
    const page = await openExample(t, browser, origin, scene)
    await page.setInputFiles('[name=picture]', { name: 'fake.png', mimeType: 'image/png', buffer: Buffer.from('<script>') })
    await page.getByRole('button', { name: 'Upload' }).click()
    await page.getByText('OBJECT_MISMATCH: ').waitFor()
    await page.getByLabel('Your token').fill('no token')
    await page.getByRole('button', { name: 'Upload' }).click()
    await page.getByText('UNAUTHENTICATED: ').waitFor()
    t.ok(await page.locator('img').isHidden())
  })

  await t.test('is served where its README says, which development mode allows', async t => {
    const readme = await readFile('examples/browser/README.md', 'utf8')
    t.match(readme, '<http://localhost:5173>')
    t.match(await readFile('examples/browser/serve.js', 'utf8'), '?? 5173')
    const { CORS_ORIGINS } = await devEnvironment({}, { dataDir: await makeTemporaryFolder(t), port: 3000, s3Url: 'http://127.0.0.1:9000' })
    t.ok(CORS_ORIGINS?.split(',').includes('http://localhost:5173'))
    t.equal(readme.trim().split('\n').length, 3)
  })
})

/** A service and a bucket that let one origin in, and a page there. */
async function setBrowserScene (t: Test, allowed?: string): Promise<{ scene: Scene, open: () => Promise<Page> }> {
  const { outputFiles } = await build({ entryPoints: ['src/client/upload.ts'], bundle: true, format: 'esm', target: 'es2022', write: false })
  const server = createServer((request, response) => {
    if (request.url === '/client.js') response.writeHead(200, { 'content-type': 'text/javascript' }).end(outputFiles[0]!.text)
    else response.writeHead(200, { 'content-type': 'text/html' }).end(page)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const own = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const origin = allowed ?? own
  const scene = await setScene(t, { CORS_ORIGINS: origin })
  await scene.s3.client.send(new PutBucketCorsCommand({
    Bucket: scene.service.bucket,
    CORSConfiguration: { CORSRules: [{ AllowedOrigins: [origin], AllowedMethods: ['PUT', 'POST', 'GET'], AllowedHeaders: ['content-type', 'if-none-match', 'x-amz-*'] }] }
  }))
  return {
    scene,
    async open () {
      const page = await newPage(t, browser)
      await page.goto(own)
      await page.waitForFunction('window.isReady')
      return page
    }
  }
}

async function send (page: Page, { bytes, ...options }: { bytes: Buffer, times: number, name: string, type: string, policy: string, baseUrl: string, token: string }): Promise<Outcome> {
  return await page.evaluate(`sendFile(${JSON.stringify({ ...options, base64: bytes.toString('base64') })})`)
}

async function openExample (t: Test, browser: Browser, origin: string, { front, token }: Scene): Promise<Page> {
  const page = await newPage(t, browser)
  await page.goto(origin)
  await page.getByLabel('Address of presignd').fill(front.url)
  await page.getByLabel('Your token').fill(token)
  return page
}

function sha256 (bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
