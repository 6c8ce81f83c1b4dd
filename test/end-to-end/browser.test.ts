import { readdir, readFile } from 'node:fs/promises'
import { crc32, deflateSync } from 'node:zlib'
import { build } from 'esbuild'
import type { Browser, Locator, Page, Route } from 'playwright-core'
import t, { type Test } from 'tap'
import { startDev } from '../../src/dev/dev.js'
import { interceptFirst, launchBrowser } from '../helpers/browser.js'
import { choose, downloadOf, fileItem, isFocused, newPage, signIn, uploadSays } from './fixtures/demo-page.js'

const browser = await launchBrowser(t)
const dev = await startDev({ port: 0, s3Port: 0, dataDir: t.testdir() })
t.teardown(() => dev.close())

t.test('a picture is uploaded, shown, downloaded, renamed and deleted', async t => {
  const page = await openAs(t, browser, 'Ada')
  const picture = { name: 'lake.png', mimeType: 'image/png', buffer: renderPng(320, 200, 1) }
  const checking = await holdBack(page, isCompletion)
  await choose(page, picture)

  await checking.arrived
  t.equal(await page.getByRole('progressbar', { name: 'Upload of lake.png' }).getAttribute('value'), '100')
  await uploadSays(page, 'Checking what arrived')
  checking.release()

  const item = fileItem(page, 'lake.png')
  await item.waitFor()
  t.same(await sizeOfImage(item), [320, 200], 'the picture is shown')
  t.equal(await page.getByRole('status').textContent(), 'lake.png is uploaded.')
  t.equal(await page.getByRole('progressbar').count(), 0, 'the finished upload has made room')

  const download = await downloadOf(page, () => item.getByRole('button', { name: 'Download' }).click())
  t.equal(download.suggestedFilename(), 'lake.png')
  t.same(await readFile(await download.path()), picture.buffer, 'the bytes are those that were sent')

  await item.getByRole('button', { name: 'Rename' }).click()
  const dialog = page.getByRole('dialog', { name: 'Rename' })
  await dialog.getByLabel('New name').fill('mountain lake.png')
  await dialog.getByRole('button', { name: 'Rename' }).click()
  await fileItem(page, 'mountain lake.png').waitFor()

  await page.reload()
  const reloaded = fileItem(page, 'mountain lake.png')
  await reloaded.waitFor()
  t.same(await sizeOfImage(reloaded), [320, 200], 'name and picture are there after a reload')
  const renamed = await downloadOf(page, () => reloaded.getByRole('button', { name: 'Download' }).click())
  t.equal(renamed.suggestedFilename(), 'mountain lake.png', 'the download has the new name')

  await reloaded.getByRole('button', { name: 'Delete' }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Keep it' }).click()
  t.ok(await reloaded.isVisible(), 'changing one\'s mind keeps it')
  await reloaded.getByRole('button', { name: 'Delete' }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click()
  await reloaded.waitFor({ state: 'detached' })
  await page.getByText('Nothing here yet').waitFor()
})

t.test('several files go up side by side', async t => {
  const page = await openAs(t, browser, 'Ada')
  await choose(page, ...['one.png', 'two.png', 'three.png'].map((name, seed) => ({ name, mimeType: 'image/png', buffer: renderPng(64, 64, seed) })))
  for (const name of ['one.png', 'two.png', 'three.png']) await fileItem(page, name).waitFor()
  t.equal(await page.getByRole('progressbar').count(), 0)
})

t.test('a file of the wrong type is refused in words, before anything is sent', async t => {
  const page = await openAs(t, browser, 'Ada')
  const created = countRequests(page, '/uploads')
  await choose(page, { name: 'letter.txt', mimeType: 'text/plain', buffer: Buffer.from('Dear Grace') })
  await uploadSays(page, 'This kind of file is not accepted here. PNG, JPEG')
  t.equal(created(), 0)
  t.match(await page.getByRole('status').textContent(), 'letter.txt: This kind of file', 'and it is read out')
  await page.getByRole('button', { name: 'Remove letter.txt' }).click()
  t.equal(await page.getByText('letter.txt', { exact: true }).count(), 0)
})

t.test('a file that only claims to be a picture is refused after it arrived', async t => {
  const page = await openAs(t, browser, 'Ada')
  await choose(page, { name: 'fake.png', mimeType: 'image/png', buffer: Buffer.from('<script>alert(1)</script>') })
  await uploadSays(page, 'The file is declared as image/png, but')
  await uploadSays(page, 'It was not kept.')
  t.equal(await fileItem(page, 'fake.png').count(), 0)
})

t.test('a file that is too large is refused in words, with both sizes', async t => {
  const page = await openAs(t, browser, 'Ada')
  const created = countRequests(page, '/uploads')
  await choose(page, { name: 'huge.png', mimeType: 'image/png', buffer: Buffer.alloc(10 * 1024 * 1024 + 1) })
  await uploadSays(page, 'This file is too large: it has 10.1 MiB, and the limit is 10 MiB.')
  t.equal(created(), 0)
})

t.test('what the service refuses is said in words too', async t => {
  const page = await openAs(t, browser, 'Ada')
  await page.route('**/uploads', route => route.fulfill({
    status: 413, contentType: 'application/problem+json', body: JSON.stringify({ code: 'FILE_TOO_LARGE', title: 'x', status: 413 })
  }))
  await choose(page, { name: 'small.png', mimeType: 'image/png', buffer: renderPng(8, 8, 1) })
  await uploadSays(page, 'This file is too large')
})

t.test('after a lost connection the upload goes on with one click', async t => {
  const page = await openAs(t, browser, 'Ada')
  const created = countRequests(page, '/uploads')
  await stopClock(page)
  await onNextPut(page, route => route.abort('connectionreset'))
  await choose(page, { name: 'train.png', mimeType: 'image/png', buffer: renderPng(48, 48, 2) })
  await uploadSays(page, 'The connection was lost. Your file is kept here: try again.')
  await page.getByRole('button', { name: 'Try again: train.png' }).click()
  const item = fileItem(page, 'train.png')
  await item.waitFor()
  t.same(await sizeOfImage(item), [48, 48])
  t.equal(created(), 1, 'no second upload was created')
})

t.test('after a lost connection the upload goes on by itself, too', async t => {
  const page = await openAs(t, browser, 'Ada')
  const created = countRequests(page, '/uploads')
  await onNextPut(page, route => route.abort('connectionreset'))
  await choose(page, { name: 'bridge.png', mimeType: 'image/png', buffer: renderPng(36, 36, 8) })
  await uploadSays(page, 'The connection was lost.')
  await fileItem(page, 'bridge.png').waitFor()
  t.equal(created(), 1)
})

t.test('an upload whose bytes arrived but whose reply was lost goes on', async t => {
  const page = await openAs(t, browser, 'Ada')
  await stopClock(page)
  // The store accepts the bytes, and the browser hears nothing of it: the next PUT is answered with 412.
  await onNextPut(page, async route => {
    await route.fetch()
    await route.abort('connectionreset')
  })
  await choose(page, { name: 'tunnel.png', mimeType: 'image/png', buffer: renderPng(40, 40, 3) })
  await page.getByRole('button', { name: 'Try again: tunnel.png' }).click()
  await fileItem(page, 'tunnel.png').waitFor()
  t.pass('the upload is complete')
})

t.test('a cancelled upload leaves nothing behind', async t => {
  const page = await openAs(t, browser, 'Ada')
  let release = () => {}
  const arrived = new Promise<void>((resolve, reject) => {
    onNextPut(page, async route => {
      resolve()
      await new Promise<void>(resolve => { release = resolve })
      // The page has given the request up in the meantime.
      await route.abort().catch(() => {})
    }).catch(reject)
  })
  await choose(page, { name: 'regret.png', mimeType: 'image/png', buffer: renderPng(16, 16, 4) })
  await arrived
  const aborted = page.waitForResponse(response => response.request().method() === 'DELETE')
  await page.getByRole('button', { name: 'Cancel regret.png' }).click()
  t.equal((await aborted).status(), 204)
  t.equal(await page.getByText('regret.png', { exact: true }).count(), 0)
  release()
})

t.test('an expired session asks to sign in again and keeps what was going on', async t => {
  const page = await openAs(t, browser, 'Ada')
  await interceptFirst(page, isCompletion, 1, async route => await route.fulfill({
    status: 401, contentType: 'application/problem+json', body: JSON.stringify({ code: 'UNAUTHENTICATED', title: 'x', status: 401 })
  }))
  await choose(page, { name: 'patience.png', mimeType: 'image/png', buffer: renderPng(24, 24, 5) })
  await page.getByRole('alert').getByText('Your session has expired.').waitFor()
  await page.getByRole('button', { name: 'Ada' }).click()
  await page.getByRole('button', { name: 'Try again: patience.png' }).click()
  await fileItem(page, 'patience.png').waitFor()
  t.equal(await page.getByRole('alert').count(), 0, 'the message is gone')
})

t.test('everything can be done with the keyboard alone', async t => {
  const page = await newPage(t, browser)
  // Listening from the start: the browser has to be told before the key is pressed.
  const chooser = page.waitForEvent('filechooser')
  await page.goto(dev.url)
  await tabTo(page, page.getByRole('button', { name: 'Ada' }))
  await page.keyboard.press('Enter')
  const heading = page.getByRole('heading', { name: 'Hello, Ada' })
  await heading.waitFor()
  t.ok(await isFocused(heading), 'signing in moves the focus to the new heading')

  await tabTo(page, page.locator('#files'))
  await page.keyboard.press('Enter')
  await (await chooser).setFiles({ name: 'keys.png', mimeType: 'image/png', buffer: renderPng(20, 20, 6) })
  await fileItem(page, 'keys.png').waitFor()

  await tabTo(page, page.getByRole('button', { name: 'Rename keys.png' }))
  await page.keyboard.press('Enter')
  // Only the part before the extension is selected.
  await page.keyboard.type('piano')
  await page.keyboard.press('Enter')
  await fileItem(page, 'piano.png').waitFor()
  t.ok(await isFocused(page.getByRole('button', { name: 'Rename piano.png' })), 'the focus is back where it was')

  await tabTo(page, page.getByRole('button', { name: 'Delete piano.png' }))
  await page.keyboard.press('Enter')
  t.ok(await isFocused(page.getByRole('button', { name: 'Keep it' })), 'the harmless answer comes first')
  await page.keyboard.press('Escape')
  t.ok(await isFocused(page.getByRole('button', { name: 'Delete piano.png' })), 'Escape leaves the file alone')
  await page.keyboard.press('Enter')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await fileItem(page, 'piano.png').waitFor({ state: 'detached' })
  t.notOk(await isFocused(page.locator('body')), 'the focus is not lost with the file')
})

t.test('one user does not see the pictures of another', async t => {
  const ada = await openAs(t, browser, 'Ada')
  await choose(ada, { name: 'secret.png', mimeType: 'image/png', buffer: renderPng(12, 12, 7) })
  await fileItem(ada, 'secret.png').waitFor()

  const grace = await openAs(t, browser, 'Grace')
  await grace.getByText('Nothing here yet').waitFor()
  t.equal(await grace.getByText('secret.png').count(), 0)

  await ada.getByRole('button', { name: 'Sign out' }).click()
  await ada.getByRole('button', { name: 'Grace' }).click()
  await ada.getByText('Nothing here yet').waitFor()
  t.equal(await ada.getByText('secret.png').count(), 0, 'nor on the same screen after a change of user')
})

t.test('the page sends files by presignd/client alone', async t => {
  const { outputFiles } = await build({ entryPoints: ['src/client/upload.ts'], bundle: true, format: 'esm', target: 'es2022', write: false })
  const response = await fetch(`${dev.url}/page/client.js`)
  t.match(response.headers.get('content-type'), 'text/javascript')
  t.equal(await response.text(), outputFiles[0]?.text)
  for (const name of await readdir('src/dev/page')) {
    // This one only writes of requests.
    const sends = name === 'explain.js' ? /XMLHttpRequest|fetch|call\(/ : /XMLHttpRequest|'PUT'|\/complete|partNumbers/
    t.notMatch(await readFile(`src/dev/page/${name}`, 'utf8'), sends, name)
  }
})

t.test('the page loads nothing from elsewhere and its policy allows nothing inline', async t => {
  const page = await newPage(t, browser)
  const origins = new Set<string>()
  page.on('request', request => { if (!request.url().startsWith('data:')) origins.add(new URL(request.url()).origin) })
  const response = await page.goto(dev.url)
  await page.getByRole('button', { name: 'Ada' }).waitFor()
  t.same([...origins], [new URL(dev.url).origin])
  const policy = response?.headers()['content-security-policy'] ?? ''
  t.match(policy, "default-src 'none'")
  t.notMatch(policy, /unsafe|\*/)
  t.ok(policy.includes(`connect-src 'self' ${new URL(dev.s3Url).origin};`))
})

for (const colorScheme of ['light', 'dark'] as const) {
  t.test(`nothing is cut off on a narrow screen, ${colorScheme}`, async t => {
    const page = await newPage(t, browser, { colorScheme, viewport: { width: 390, height: 844 } })
    await signIn(page, dev.url, 'Grace')
    await choose(page, { name: `${'a rather long name '.repeat(8)}.txt`, mimeType: 'text/plain', buffer: Buffer.from('x') })
    await uploadSays(page, 'This kind of file is not accepted here')
    const { width } = await page.locator('html').evaluate(html => ({ width: html.scrollWidth }))
    t.equal(width, 390)
  })
}

async function openAs (t: Test, browser: Browser, name: string): Promise<Page> {
  const page = await newPage(t, browser)
  await signIn(page, dev.url, name)
  return page
}

async function sizeOfImage (item: Locator): Promise<[number, number]> {
  const image = item.locator('img')
  await image.waitFor()
  return await image.evaluate(image => {
    const { naturalWidth, naturalHeight } = image as unknown as { naturalWidth: number, naturalHeight: number }
    return [naturalWidth, naturalHeight]
  })
}

function isCompletion (url: URL): boolean {
  return url.pathname.endsWith('/complete')
}

/** Stops the next request to such an address until it is released. */
async function holdBack (page: Page, matches: (url: URL) => boolean): Promise<{ arrived: Promise<void>, release: () => void }> {
  let arrive = () => {}
  let release = () => {}
  const arrived = new Promise<void>(resolve => { arrive = resolve })
  const released = new Promise<void>(resolve => { release = resolve })
  await interceptFirst(page, matches, 1, async route => {
    arrive()
    await released
    await route.continue()
  })
  return { arrived, release }
}

/** Takes the next upload to the store in hand; pictures that are still loading go on. */
async function onNextPut (page: Page, handle: (route: Route) => Promise<void>): Promise<void> {
  let isHandled = false
  await page.route(`${dev.s3Url}/**`, async route => {
    if (isHandled || route.request().method() !== 'PUT') return await route.continue()
    isHandled = true
    await handle(route)
  })
}

/** From now on nothing happens later by itself. */
async function stopClock (page: Page): Promise<void> {
  await page.clock.install()
  await page.clock.pauseAt(Date.now() + 60_000)
}

function countRequests (page: Page, path: string): () => number {
  let count = 0
  page.on('request', request => { if (request.method() === 'POST' && new URL(request.url()).pathname === path) count += 1 })
  return () => count
}

async function tabTo (page: Page, target: Locator): Promise<void> {
  await target.waitFor()
  for (let presses = 0; presses < 60; presses += 1) {
    if (await isFocused(target)) return
    await page.keyboard.press('Tab')
  }
  throw new Error(`Tab never reaches ${target}`)
}

/** A PNG with stripes of colours that follow from the seed. @see https://www.w3.org/TR/png-3/ */
function renderPng (width: number, height: number, seed: number): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  // Eight bits for each of red, green and blue.
  header.set([8, 2, 0, 0, 0], 8)
  const lines = Buffer.alloc(height * (1 + width * 3))
  for (let y = 0; y < height; y += 1) lines.fill((y * 7 + seed * 40) % 256, y * (1 + width * 3) + 1, (y + 1) * (1 + width * 3))
  const chunk = (type: string, data: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
    const frame = Buffer.alloc(body.length + 8)
    frame.writeUInt32BE(data.length, 0)
    body.copy(frame, 4)
    frame.writeUInt32BE(crc32(body), body.length + 4)
    return frame
  }
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(lines)),
    chunk('IEND', Buffer.alloc(0))
  ])
}
