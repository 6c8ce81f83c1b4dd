// The pieces of docs/recipes.md, as they stand there: those for the browser with the unmodified packages of npm in
// Chromium, that for the shell in a shell.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { PutBucketCorsCommand } from '@aws-sdk/client-s3'
import { build, type BuildOptions } from 'esbuild'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import type { UploadedFile } from '../../src/client/upload.js'
import { setScene, type Scene } from '../client/fixtures/scene.js'
import { launchBrowser } from '../helpers/browser.js'
import { HTML, png } from '../helpers/samples.js'
import { makeTemporaryFolder } from '../helpers/s3.js'
import { newPage } from './fixtures/demo-page.js'

const SERVICE = 'https://files.example.com'
const text = await readFile('docs/recipes.md', 'utf8')
/** By the comment that each piece begins with. */
const pieces = new Map([...text.matchAll(/```\w+\n(?:\/\/|#) (.*)\n([\s\S]*?)```/g)].map(([, name = '', code = '']) => [name, code]))
const browser = await launchBrowser(t)
const picture = (name: string, seed = 1) => ({ name, mimeType: 'image/png', buffer: png(seed) })

t.test('React dropzone', async t => {
  const { scene, page } = await openPage(t, 'React dropzone', '<div id="root"></div>', `
    import { createRoot } from 'react-dom/client'
    createRoot(document.getElementById('root')).render(<PictureDropzone />)
  `)
  const says = async (line: string) => await page.locator('li', { hasText: line }).waitFor()

  await t.test('chosen pictures arrive', async t => {
    await page.getByLabel('Pictures').setInputFiles([picture('one.png', 1), picture('two.png', 2)])
    await says('one.png: uploaded')
    await says('two.png: uploaded')
    t.strictSame(await bytesByName(scene), new Map([['one.png', png(1)], ['two.png', png(2)]]))
    const put = scene.storage.seen.find(({ method }) => method === 'PUT')
    t.notOk(put?.headers.authorization, 'the store gets no token')
  })

  await t.test('a dropped picture arrives', async t => {
    const base64 = png(3).toString('base64')
    await page.evaluate(`
      const files = new DataTransfer()
      files.items.add(new File([Uint8Array.from(atob('${base64}'), char => char.charCodeAt(0))], 'dropped.png', { type: 'image/png' }))
      document.querySelector('#root > div').dispatchEvent(new DragEvent('drop', { dataTransfer: files, bubbles: true }))
    `)
    await says('dropped.png: uploaded')
    t.strictSame((await bytesByName(scene)).get('dropped.png'), png(3))
  })

  await t.test('what dropzone refuses is not asked for, and what presignd refuses is said in its words', async t => {
    const asked = scene.front.count('POST', '/uploads')
    await page.getByLabel('Pictures').setInputFiles({ name: 'letter.txt', mimeType: 'text/plain', buffer: Buffer.from('Dear Grace') })
    await says('letter.txt: File type must be')
    t.equal(scene.front.count('POST', '/uploads'), asked)
    await page.getByLabel('Pictures').setInputFiles({ ...picture('fake.png'), buffer: HTML })
    await says('fake.png: The file is declared as image/png')
  })
})

t.test('FilePond', async t => {
  const { scene, page } = await openPage(t, 'FilePond', '<form><input type="file" name="pictures" multiple></form>')
  const input = page.locator('input[type=file]')
  const item = (name: string) => page.locator('.filepond--item', { has: page.locator('legend', { hasText: name }) })
  const inState = async (name: string, state: string) => await item(name).and(page.locator(`[data-filepond-item-state=${state}]`)).waitFor()
  const ids = async () => await page.locator('input[type=hidden][name=pictures]').evaluateAll(inputs => inputs.map(input => (input as unknown as { value: string }).value).filter(Boolean))

  await t.test('files arrive, and the form has their ids', async t => {
    await input.setInputFiles([picture('one.png', 1), picture('two.png', 2)])
    await inState('one.png', 'processing-complete')
    await inState('two.png', 'processing-complete')
    t.strictSame(await bytesByName(scene), new Map([['one.png', png(1)], ['two.png', png(2)]]))
    t.same((await ids()).sort(), (await filesOf(scene)).map(({ id }) => id).sort())
  })

  await t.test('a file that is taken back is deleted', async t => {
    const [file] = (await filesOf(scene)).filter(({ filename }) => filename === 'one.png')
    const deleting = page.waitForResponse(response => response.request().method() === 'DELETE')
    await item('one.png').locator('.filepond--action-revert-item-processing').click()
    t.equal((await deleting).status(), 204)
    await page.waitForFunction(`![...document.querySelectorAll('input[type=hidden]')].some(input => input.value === '${file?.id}')`)
    t.same((await filesOf(scene)).map(({ filename }) => filename), ['two.png'])
  })

  await t.test('what presignd refuses is said in its words', async t => {
    await input.setInputFiles({ ...picture('fake.png'), buffer: HTML })
    await inState('fake.png', 'processing-error')
    await item('fake.png').getByText('The file is declared as image/png').waitFor()
    t.same((await filesOf(scene)).map(({ filename }) => filename), ['two.png'])
  })

  await t.test('a file that is cancelled on its way is given up', async t => {
    scene.storage.onNext('PUT', '', { until: new Promise(() => {}) })
    const creating = page.waitForResponse(response => response.status() === 201)
    await input.setInputFiles(picture('regret.png', 4))
    const { file: { id } } = await (await creating).json() as { file: UploadedFile }
    await scene.storage.arrival('PUT', id)
    await inState('regret.png', 'processing')
    const deleting = page.waitForResponse(response => response.request().method() === 'DELETE')
    await page.evaluate(`
      window.states = []
      const item = [...document.querySelectorAll('.filepond--item')].find(item => item.textContent.includes('regret.png'))
      new MutationObserver(() => states.push(item.dataset.filepondItemState)).observe(item, { attributeFilter: ['data-filepond-item-state'] })
    `)
    await item('regret.png').locator('.filepond--action-abort-item-processing').click()
    t.equal((await deleting).status(), 204)
    t.equal(await scene.statusOf(id), 'expired')
    // FilePond takes it off its list.
    await item('regret.png').waitFor({ state: 'detached' })
    t.same(await page.evaluate('states'), ['cancelled'], 'nothing is called an error')
  })
})

t.test('curl', async t => {
  const scene = await setScene(t)
  const folder = await makeTemporaryFolder(t)
  await writeFile(join(folder, 'lake.png'), png())
  const run = async () => await promisify(execFile)('sh', ['-c', code('curl', scene)], {
    cwd: folder, env: { PATH: `${resolve(process.execPath, '..')}:${process.env['PATH']}`, TOKEN: scene.token, FILE: 'lake.png', TYPE: 'image/png' }
  })

  await t.test('a file arrives', async t => {
    const { file } = JSON.parse((await run()).stdout) as { file: UploadedFile }
    t.match(file, { status: 'ready', filename: 'lake.png', sizeBytes: png().length })
    t.strictSame(await scene.bytesOf(file), png())
    const put = scene.storage.seen.find(({ method }) => method === 'PUT')
    t.notOk(put?.headers.authorization)
  })

  await t.test('a file that is there already, and a check that takes longer', async t => {
    // The bytes arrive before curl's own do.
    scene.front.onNext('POST', '/uploads', {
      change: async body => {
        const { upload: { url, headers } } = JSON.parse(body) as { upload: { url: string, headers: Record<string, string> } }
        t.equal((await fetch(url, { method: 'PUT', headers, body: png() })).status, 200)
        return body
      }
    })
    scene.front.onNext('POST', '/complete', { status: 202, body: '{}' })
    const { file } = JSON.parse((await run()).stdout) as { file: UploadedFile }
    t.equal(file.status, 'ready')
    t.equal(scene.storage.seen.filter(({ method, path }) => method === 'PUT' && path.includes(file.id)).at(-1)?.status, 412)
  })

  await t.test('a refusal ends it', async t => {
    scene.storage.onNext('PUT', '', { status: 403, body: '<Error><Code>AccessDenied</Code></Error>' })
    await t.rejects(run(), { code: 1, stderr: /AccessDenied/ })
    scene.front.onNext('POST', '/complete', { status: 422, body: '{}' })
    await t.rejects(run(), { code: 22, stdout: '' })
  })
})

t.test('every recipe that speaks HTTP itself takes all three steps, and knows 412 and 202', async t => {
  const whole = [...pieces].filter(([name, code]) => !code.includes('presignd/client') && name !== 'React Native without Expo')
  t.same(whole.map(([name]) => name), ['React Native and Expo', 'Flutter', 'Swift', 'Kotlin', 'curl'])
  for (const [name, code] of whole) for (const word of ['/uploads', '/complete', 'headers', '412', '202', 'PUT']) t.match(code, word, `${name}: ${word}`)
  const headings = [...text.matchAll(/^## (.*)$/gm)].map(([, heading = '']) => heading)
  const linked = [...(/^\[React dropzone\].*$/m.exec(text)?.[0] ?? '').matchAll(/\[(.*?)\]\(#(.*?)\)/g)]
  t.same(linked.map(([, heading]) => heading), headings.slice(2))
  for (const [, heading = '', anchor] of linked) t.equal(anchor, heading.toLowerCase().replaceAll(' ', '-'))
})

/** A piece that talks to this scene. */
function code (name: string, scene: Scene): string {
  const code = pieces.get(name)
  if (code === undefined) throw new Error(`docs/recipes.md has no piece "${name}"`)
  if (!code.includes(SERVICE)) throw new Error(`The piece "${name}" does not say where presignd is`)
  return code.replaceAll(SERVICE, scene.front.url)
}

/** The piece in a page of its own, on another origin than the service and the store. */
async function openPage (t: Test, name: string, body: string, more = ''): Promise<{ scene: Scene, page: Page }> {
  let script = ''
  const site = createServer(({ url }, response) => {
    if (url === '/script.js') response.writeHead(200, { 'content-type': 'text/javascript' }).end(script)
    else response.writeHead(200, { 'content-type': 'text/html' }).end(`<!doctype html>${body}<script type="module" src="/script.js"></script>`)
  }).listen(0, '127.0.0.1')
  await once(site, 'listening')
  t.teardown(() => {
    site.closeAllConnections()
    site.close()
  })
  const origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`
  const scene = await setScene(t, { CORS_ORIGINS: origin })
  await scene.s3.client.send(new PutBucketCorsCommand({
    Bucket: scene.service.bucket,
    CORSConfiguration: { CORSRules: [{ AllowedOrigins: [origin], AllowedMethods: ['PUT', 'POST', 'GET'], AllowedHeaders: ['content-type', 'if-none-match', 'x-amz-*'] }] }
  }))
  const contents = `const token = ${JSON.stringify(scene.token)}\n${code(name, scene)}\n${more}`
  script = await bundle({ contents, loader: 'jsx', resolveDir: resolve('.') })
  const page = await newPage(t, browser)
  await page.goto(origin)
  return { scene, page }
}

async function bundle (stdin: NonNullable<BuildOptions['stdin']>): Promise<string> {
  const { outputFiles } = await build({
    stdin,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    jsx: 'automatic',
    alias: { 'presignd/client': resolve('src/client/upload.ts') },
    define: { 'process.env.NODE_ENV': '"production"' },
    write: false
  })
  return outputFiles?.[0]?.text ?? ''
}

async function filesOf ({ service, token }: Scene): Promise<UploadedFile[]> {
  return (await service.call('GET', '/files', { token })).json<{ data: UploadedFile[] }>().data
}

async function bytesByName (scene: Scene): Promise<Map<string, Buffer>> {
  const files = (await filesOf(scene)).sort((a, b) => a.filename < b.filename ? -1 : 1)
  return new Map(await Promise.all(files.map(async file => [file.filename, await scene.bytesOf(file)] as const)))
}
