// The example with Next.js, as it was built, against development mode in a real browser. It needs `npm ci` and
// `npm run build` in examples/nextjs, so it is no part of `npm test`.
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Browser, BrowserContext, Locator, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { freePort } from '../helpers/free-port.js'
import { startDev } from '../../src/dev/dev.js'
import { DEV_AUDIENCE } from '../../src/dev/dev-environment.js'
import { loadOrCreateCredentials } from '../../src/dev/s3/credentials.js'
import { newPage } from '../end-to-end/fixtures/demo-page.js'
import { launchBrowser } from '../helpers/browser.js'
import { run } from '../helpers/process.js'
import { png } from '../helpers/samples.js'
import { makeTemporaryFolder } from '../helpers/s3.js'

const FOLDER = 'examples/nextjs'
const SESSION_SECRET = 'a secret for the cookies of this test'
const NOT_BUILT = `Run "npm ci && npm run build" in ${FOLDER} first.`

if (!existsSync(join(FOLDER, '.next/BUILD_ID'))) throw new Error(NOT_BUILT)
const browser = await launchBrowser(t)
const dataDir = await makeTemporaryFolder(t)
const origin = `http://localhost:${await freePort('localhost')}`
const dev = await startDev({ port: 0, s3Port: 0, dataDir, env: { CORS_ORIGINS: origin } })
t.teardown(async () => await dev.close())
const jwtSecretFile = join(dataDir, 'jwt-secret')
const app = run(t, process.execPath, [join(FOLDER, 'node_modules/next/dist/bin/next'), 'start', FOLDER, '--hostname', 'localhost', '--port', new URL(origin).port], {
  PRESIGND_URL: dev.url,
  PRESIGND_JWT_SECRET_FILE: jwtSecretFile,
  PRESIGND_JWT_AUDIENCE: DEV_AUDIENCE,
  SESSION_SECRET,
  NODE_ENV: 'production'
})
await app.output(/Ready in/)

t.test('a profile picture is uploaded, shown, replaced under the same id, and removed', async t => {
  const page = await signIn(t, browser, 'Ada')
  const face = page.locator('.face')
  const choose = async (picture: Picture) => await page.locator('.profile input[type=file]').setInputFiles(picture)

  await choose(pictureOf('me.png', 1))
  const before = await shown(face)
  t.strictSame(await bytesOf(before.src), png(1))
  const id = await face.getAttribute('data-file-id')
  await page.getByRole('status').getByText('Your profile picture is saved.').waitFor()

  await choose(pictureOf('me-again.png', 2))
  await page.waitForFunction(`document.querySelector('.face img').src !== ${JSON.stringify(before.src)}`)
  const after = await shown(face)
  t.strictSame(await bytesOf(after.src), png(2), 'the new bytes are shown')
  t.equal(await face.getAttribute('data-file-id'), id, 'the file is the same one')

  await page.reload()
  t.strictSame(await bytesOf((await shown(face)).src), png(2), 'after a reload, too')

  await page.getByRole('button', { name: 'Remove' }).click()
  await page.getByRole('status').getByText('Your profile picture is removed.').waitFor()
  t.equal(await face.getAttribute('data-file-id'), null)
  await page.reload()
  await page.getByText('Choose a picture').waitFor()
  t.equal(await page.locator('.face img').count(), 0)
})

t.test('several pictures go into the gallery, and one is deleted', async t => {
  const page = await signIn(t, browser, 'Ada')
  const names = ['one.png', 'two.png', 'three.png', 'four.png']
  await gallery(page).setInputFiles(names.map(pictureOf))
  for (const [seed, name] of names.entries()) t.strictSame(await bytesOf((await shown(itemOf(page, name))).src), png(seed), name)
  t.equal(await page.getByRole('progressbar').count(), 0)

  page.once('dialog', async dialog => await dialog.dismiss())
  await page.getByRole('button', { name: 'Delete two.png' }).click()
  t.ok(await itemOf(page, 'two.png').isVisible(), 'changing one\'s mind keeps it')
  page.once('dialog', async dialog => await dialog.accept())
  await page.getByRole('button', { name: 'Delete two.png' }).click()
  await itemOf(page, 'two.png').waitFor({ state: 'detached' })
  await page.reload()
  await shown(itemOf(page, 'four.png'))
  t.equal(await page.locator('.gallery li').count(), 3)
})

t.test('what presignd refuses is shown in its words', async t => {
  const page = await signIn(t, browser, 'Ada')
  await gallery(page).setInputFiles(pictureOf('good.png', 7))
  await shown(itemOf(page, 'good.png'))
  await gallery(page).setInputFiles({ name: 'letter.txt', mimeType: 'text/plain', buffer: Buffer.from('Dear Grace') })
  await page.getByRole('alert').getByText('takes image/png').waitFor()
  await page.getByRole('button', { name: 'Dismiss letter.txt' }).click()
  await gallery(page).setInputFiles({ name: 'fake.png', mimeType: 'image/png', buffer: Buffer.from('<script>alert(1)</script>') })
  await page.getByRole('alert').getByText('The file is declared as image/png').waitFor()
  t.equal(await itemOf(page, 'fake.png').count(), 0)
  await page.locator('.profile input[type=file]').setInputFiles({ name: 'me.pdf', mimeType: 'application/pdf', buffer: Buffer.from('%PDF-1.7') })
  await page.locator('.profile').getByRole('alert').getByText('takes image/*').waitFor()
})

t.test('another user sees nothing of it, in the same tab or elsewhere, and gets in with no other session', async t => {
  const page = await signIn(t, browser, 'Edith')
  await page.locator('.profile input[type=file]').setInputFiles(pictureOf('me.png', 5))
  await gallery(page).setInputFiles(pictureOf('secret.png', 6))
  await shown(page.locator('.face'))
  await shown(itemOf(page, 'secret.png'))

  await page.getByRole('button', { name: 'Sign out' }).click()
  await enter(page, 'Grace')
  const other = await signIn(t, browser, 'Hedy')
  for (const [name, page_] of [['grace', page], ['hedy', other]] as const) {
    await page_.getByText('Nothing here yet').waitFor()
    t.equal(await page_.locator('img').count(), 0)
    t.equal(subOf(await tokenOf(page_.context())), name)
  }

  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByLabel('Your name').waitFor()
  t.equal((await page.context().request.post(`${origin}/api/presignd-token`)).status(), 401, 'without a session there is no token')
  const [session] = await other.context().cookies()
  const forged = `${session!.value.slice(0, -4)}AAAA`
  const reply = await fetch(`${origin}/api/presignd-token`, { method: 'POST', headers: { cookie: `session=${forged}` } })
  t.equal(reply.status, 401, 'nor with a forged one')
  const presignds = await fetch(`${origin}/api/presignd-token`, { method: 'POST', headers: { cookie: `session=${await dev.issueToken('ada')}` } })
  t.equal(presignds.status, 401, 'nor with a token of presignd')
})

t.test('a name that is none is refused in words', async t => {
  const page = await newPage(t, browser)
  await page.goto(origin)
  await page.getByLabel('Your name').fill('../ada')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.locator('.sign-in').getByRole('alert').getByText('A name has up to 40 letters').waitFor()
  t.same(await page.context().cookies(), [])
})

t.test('the cookie is out of reach of scripts, and the token lives for minutes', async t => {
  const page = await signIn(t, browser, 'Ada')
  const [session, ...others] = await page.context().cookies()
  t.match(session, { name: 'session', httpOnly: true, secure: true, sameSite: 'Lax' })
  t.same(others, [])
  t.equal(await page.evaluate('document.cookie'), '')
  const reply = await page.context().request.post(`${origin}/api/presignd-token`)
  t.match(reply.headers()['cache-control'], 'no-store')
  const { token, expiresInSeconds } = await reply.json() as { token: string, expiresInSeconds: number }
  const { iat, exp, aud } = claimsOf(token)
  t.same([exp - iat, expiresInSeconds, aud], [300, 300, DEV_AUDIENCE])
})

t.test('the app hands out no key and no secret, sees no file, and loads nothing from elsewhere', async t => {
  const { accessKeyId, secretAccessKey } = await loadOrCreateCredentials(dataDir)
  const jwtSecret = (await readFile(jwtSecretFile, 'utf8')).trim()
  const page = await newPage(t, browser)
  const texts: string[] = []
  const sentBytes: number[] = []
  const foreign = new Set<string>()
  page.on('response', response => { if (new URL(response.url()).origin === origin) response.text().then(text => texts.push(text), () => {}) })
  page.on('request', request => {
    if (new URL(request.url()).origin === origin) sentBytes.push(request.postDataBuffer()?.length ?? 0)
    else foreign.add(new URL(request.url()).origin)
  })
  await page.goto(origin)
  await enter(page, 'Ada')
  const picture = Buffer.concat([png(9), Buffer.alloc(200_000)])
  await gallery(page).setInputFiles({ name: 'large.png', mimeType: 'image/png', buffer: picture })
  await shown(itemOf(page, 'large.png'))
  await page.waitForLoadState('networkidle')

  t.same([...foreign].sort(), [dev.url, dev.s3Url].sort())
  t.ok(Math.max(...sentBytes) < 1000, 'no request to the app has room for the picture')
  const files = (await readdir(join(FOLDER, '.next/static'), { recursive: true, encoding: 'utf8' })).filter(name => /\.(js|css|json)$/.test(name))
  const built = await Promise.all(files.map(async name => await readFile(join(FOLDER, '.next/static', name), 'utf8')))
  t.ok(texts.length > 5 && built.length > 5)
  for (const text of [...texts, ...built]) {
    // The key pair of the store, and the two secrets of the app.
    for (const secret of [accessKeyId, secretAccessKey, jwtSecret, SESSION_SECRET]) if (text.includes(secret)) t.fail(`a secret is in ${text.slice(0, 100)}`)
    if (/@aws-sdk|AWS_SECRET|PRESIGND_JWT_SECRET|SESSION_SECRET/.test(text)) t.fail(`the server's part is in ${text.slice(0, 100)}`)
  }
  const { dependencies } = JSON.parse(await readFile(join(FOLDER, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
  t.same(Object.keys(dependencies), ['jose', 'next', 'react', 'react-dom'])
})

for (const colorScheme of ['light', 'dark'] as const) {
  t.test(`nothing is cut off on a narrow screen, ${colorScheme}`, async t => {
    const page = await newPage(t, browser, { colorScheme, viewport: { width: 390, height: 844 } })
    await page.goto(origin)
    await enter(page, 'A rather long name of forty characters.')
    const name = `${'a rather long name '.repeat(8)}.png`
    await gallery(page).setInputFiles(pictureOf(name, 3))
    await shown(itemOf(page, name))
    await gallery(page).setInputFiles({ name: `${name}.txt`, mimeType: 'text/plain', buffer: Buffer.from('x') })
    await page.getByRole('alert').getByText('takes image/png').waitFor()
    t.equal(await page.locator('html').evaluate(html => html.scrollWidth), 390)
  })
}

interface Picture { readonly name: string, readonly mimeType: string, readonly buffer: Buffer }

function pictureOf (name: string, seed: number): Picture {
  return { name, mimeType: 'image/png', buffer: png(seed) }
}

async function signIn (t: Test, browser: Browser, name: string): Promise<Page> {
  const page = await newPage(t, browser)
  await page.goto(origin)
  await enter(page, name)
  return page
}

async function enter (page: Page, name: string): Promise<void> {
  await page.getByLabel('Your name').fill(name)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('heading', { name: name.toLowerCase(), exact: true }).waitFor()
  // The policies are there: files can be chosen.
  await page.locator('.profile input[type=file]:enabled').waitFor({ state: 'attached' })
}

function gallery (page: Page): Locator {
  return page.getByLabel('Add pictures')
}

function itemOf (page: Page, name: string): Locator {
  return page.locator('.gallery li', { has: page.getByText(name, { exact: true }) })
}

/** Waits until the picture in this element is drawn. */
async function shown (element: Locator): Promise<{ src: string }> {
  const image = element.locator('img')
  await image.waitFor()
  return await image.evaluate(async image => {
    const { src, naturalWidth } = await image.decode().then(() => image)
    if (naturalWidth === 0) throw new Error('nothing is drawn')
    return { src }
  })
}

async function bytesOf (url: string): Promise<Buffer> {
  return Buffer.from(await (await fetch(url)).arrayBuffer())
}

async function tokenOf (context: BrowserContext): Promise<string> {
  const reply = await context.request.post(`${origin}/api/presignd-token`)
  return (await reply.json() as { token: string }).token
}

function claimsOf (token: string): { sub: string, aud: string, iat: number, exp: number } {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}

function subOf (token: string): string {
  return claimsOf(token).sub
}
