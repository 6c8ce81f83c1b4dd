import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BrowserContext, Page, Request, Route } from 'playwright-core'
import t, { type Test } from 'tap'
import { startDev } from '../../src/dev/dev.js'
import { interceptFirst, launchBrowser } from '../helpers/browser.js'
import { until } from '../helpers/until.js'
import { choose, downloadOf, fileItem, isFocused, newPage, signIn, uploadSays } from './fixtures/demo-page.js'

const MIB = 1024 ** 2
const POLICIES = `
policies:
  videos:
    contentTypes: [video/mp4]
    maxSize: 1GiB
    key: "videos/{owner}/{fileId}{ext}"
    multipart: { threshold: 8MiB, partSize: 5MiB }
`

const folder = mkdtempSync(join(tmpdir(), 'presignd-test-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const policiesFile = join(folder, 'policies.yaml')
writeFileSync(policiesFile, POLICIES)
const browser = await launchBrowser(t)
const dev = await startDev({ port: 0, s3Port: 0, dataDir: join(folder, 'data'), env: { POLICIES_FILE: policiesFile } })
t.teardown(() => dev.close())

t.test('a file of 100 MiB goes up in parts and comes back the same', async t => {
  const film = createFilm('large.mp4', 100 * MIB)
  const page = await openAs(t, 'Ada')
  const parts = watchParts(page.context())
  await choose(page, film.path)
  await arrival(page, 'large.mp4')
  t.same(sorted(parts.asked), numbers(1, 20), 'each part was sent once')
  t.equal(parts.mostAtOnce, 3)
  t.equal(await sha256OfDownload(page, 'large.mp4'), film.sha256)
})

t.test('a tab that is closed half-way is gone on with in another one, and no part is sent twice', async t => {
  const film = createFilm('half.mp4', 100 * MIB)
  const page = await openAs(t, 'Ada')
  const context = page.context()
  const before = watchParts(context)
  await holdBack(page, isPartAfter(10))
  await choose(page, film.path)
  await until(() => before.stored.length === 10)
  const kept = await keptInBrowser(page)
  t.equal(kept.length, 1)
  t.notMatch(kept[0], /http|X-Amz|Bearer|eyJ/i, 'neither URL nor token is remembered')
  before.stop()
  await page.close()

  const next = await context.newPage()
  await signIn(next, dev.url, 'Ada')
  await uploadSays(next, 'Unfinished: choose the file again to go on.')
  t.ok(Number(await next.getByRole('progressbar', { name: 'Upload of half.mp4' }).getAttribute('value')) >= 50)
  const after = watchParts(context)
  const known = watchKnownParts(next)
  await choose(next, film.path)
  await arrival(next, 'half.mp4')
  t.same(sorted(before.stored), numbers(1, 10))
  t.same(sorted([...await known(), ...after.asked]), numbers(1, 20), 'what was there was not sent again')
  t.same(after.asked.filter(partNumber => partNumber <= 10), [])
  t.equal(await sha256OfDownload(next, 'half.mp4'), film.sha256)
  t.same(await keptInBrowser(next), [], 'nothing is left to remember')
})

t.test('after a reload the file is asked for by name, and another one is not taken for it', async t => {
  const film = createFilm('holiday.mp4', 12 * MIB)
  const other = createFilm('other.mp4', 12 * MIB)
  const page = await openAs(t, 'Ada')
  const parts = watchParts(page.context())
  const held = await holdBack(page, isPartAfter(1))
  await choose(page, film.path)
  await until(() => parts.stored.length === 1)
  await page.reload()
  held.letThrough()
  const button = page.getByRole('button', { name: 'Choose file: holiday.mp4' })
  const pick = async (path: string): Promise<void> => {
    const [chooser] = await Promise.all([page.waitForEvent('filechooser'), button.press('Enter')])
    await chooser.setFiles(path)
  }
  await pick(other.path)
  await uploadSays(page, 'That was another file. To go on, choose holiday.mp4 of 12 MiB as it was.')
  const after = watchParts(page.context())
  const known = watchKnownParts(page)
  await pick(film.path)
  await arrival(page, 'holiday.mp4')
  t.same(sorted([...await known(), ...after.asked]), numbers(1, 3))
  t.equal(await sha256OfDownload(page, 'holiday.mp4'), film.sha256)
})

t.test('a pause stops the parts, lets other files go on, and ends where it began', async t => {
  const film = createFilm('paused.mp4', 40 * MIB)
  const page = await openAs(t, 'Ada')
  const parts = watchParts(page.context())
  const held = await holdBack(page, isPartAfter(3))
  await choose(page, film.path)
  await until(() => parts.stored.length === 3)
  const pause = page.getByRole('button', { name: 'Pause paused.mp4' })
  await pause.press('Enter')
  await uploadSays(page, 'Paused at 37 %')
  const resume = page.getByRole('button', { name: 'Resume paused.mp4' })
  t.ok(await isFocused(resume), 'the same button goes on')
  held.letThrough()

  const asked = parts.asked.length
  await choose(page, createFilm('meanwhile.mp4', 1 * MIB).path)
  await arrival(page, 'meanwhile.mp4')
  t.equal(parts.asked.length, asked, 'no part was begun in the meantime')

  await resume.press('Enter')
  await arrival(page, 'paused.mp4')
  t.same(sorted(parts.stored), numbers(1, 8), 'what was there before the pause was not sent again')
  t.equal(await sha256OfDownload(page, 'paused.mp4'), film.sha256)
})

t.test('a cancelled upload is over, here and at the service', async t => {
  const page = await openAs(t, 'Ada')
  const parts = watchParts(page.context())
  await holdBack(page, isPartAfter(1))
  await choose(page, createFilm('regret.mp4', 20 * MIB).path)
  await until(() => parts.stored.length === 1)
  const aborting = page.waitForResponse(response => response.request().method() === 'DELETE')
  await page.getByRole('button', { name: 'Cancel regret.mp4' }).click()
  const aborted = await aborting
  t.equal(aborted.status(), 204)
  t.equal(await statusOf(aborted.url()), 'expired')
  t.equal(await page.getByText('regret.mp4', { exact: true }).count(), 0)
  t.same(await keptInBrowser(page), [])
})

const FAILURES: ReadonlyArray<[name: string, fail: (route: Route) => Promise<void>]> = [
  ['a store that is busy', async route => await route.fulfill({ status: 503, headers: { 'access-control-allow-origin': '*' } })],
  ['a URL that has expired', async route => await route.fulfill({ status: 403, headers: { 'access-control-allow-origin': '*' } })],
  ['a connection that breaks', async route => await route.abort('connectionreset')]
]
for (const [name, fail] of FAILURES) {
  t.test(`one part is sent again after ${name}`, async t => {
    const film = createFilm('bumpy.mp4', 20 * MIB)
    const page = await openAs(t, 'Ada')
    const parts = watchParts(page.context())
    const asking = page.waitForRequest(request => request.url().endsWith('/parts') && request.postDataJSON().partNumbers.includes(2))
    await interceptFirst(page, url => partNumberOf(url) === 2, 1, fail)
    await choose(page, film.path)
    const item = await arrival(page, 'bumpy.mp4')
    t.same(sorted(parts.asked), [1, 2, 2, 3, 4])
    t.same(sorted(parts.stored), numbers(1, 4))
    await asking
    t.pass('with a fresh URL')
    t.equal(await sha256OfDownload(page, 'bumpy.mp4'), film.sha256)
    await item.getByRole('button', { name: 'Delete' }).click()
    await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click()
    await item.waitFor({ state: 'detached' })
  })
}

t.test('when one URL has expired, those that came with it are not tried', async t => {
  const page = await openAs(t, 'Ada')
  const parts = watchParts(page.context())
  const signed = new Set<number>()
  page.on('request', request => {
    if (request.url().endsWith('/parts')) for (const partNumber of request.postDataJSON().partNumbers) signed.add(partNumber)
  })
  // The first three are sent together, so that the fourth is begun when all of them have failed.
  await interceptFirst(page, isPartAfter(0), 3, async route => await route.fulfill({ status: 403, headers: { 'access-control-allow-origin': '*' } }))
  await choose(page, createFilm('slow.mp4', 20 * MIB).path)
  await arrival(page, 'slow.mp4')
  t.same(sorted(parts.asked), [1, 1, 2, 2, 3, 3, 4])
  t.same(sorted([...signed]), numbers(1, 4))
})

t.test('a part that gets no answer for a minute is sent again', async t => {
  const page = await openAs(t, 'Ada')
  await page.clock.install()
  const parts = watchParts(page.context())
  // It takes the bytes and says nothing.
  const silent = createServer(request => { request.resume() }).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => {
    silent.closeAllConnections()
    silent.close()
  })
  const { port } = silent.address() as AddressInfo
  await interceptFirst(page, url => partNumberOf(url) === 2, 1, async route => await route.continue({ url: `http://127.0.0.1:${port}/` }))
  await choose(page, createFilm('silence.mp4', 12 * MIB).path)
  await until(() => parts.stored.length === 2)
  await until(async () => Number(await page.getByRole('progressbar', { name: 'Upload of silence.mp4' }).getAttribute('value')) >= 99)
  t.same(sorted(parts.asked), [1, 2, 3])
  await page.clock.fastForward(60_000)
  await arrival(page, 'silence.mp4')
  t.same(sorted(parts.asked), [1, 2, 2, 3])
})

t.test('a file that has changed on the disk is not mixed with what was sent of it', async t => {
  const film = createFilm('edited.mp4', 20 * MIB)
  const page = await openAs(t, 'Ada')
  const parts = watchParts(page.context())
  const held = await holdBack(page, isPartAfter(1))
  await choose(page, film.path)
  await until(() => parts.stored.length === 1)
  await page.getByRole('button', { name: 'Pause edited.mp4' }).click()
  createFilm('edited.mp4', 20 * MIB)
  held.letThrough()
  await page.getByRole('button', { name: 'Resume edited.mp4' }).click()
  await uploadSays(page, 'The file on your disk has changed or is gone. Choose it again.')
  t.same(parts.stored, [1])
  await page.getByRole('button', { name: 'Remove edited.mp4' }).click()
  await page.waitForFunction('localStorage.length === 0')
})

t.test('an upload that lost its connection for good is kept, and goes on when the browser is on line again', async t => {
  const film = createFilm('tunnel.mp4', 20 * MIB)
  const page = await openAs(t, 'Ada')
  const parts = watchParts(page.context())
  const held = await holdBack(page, isPartAfter(1))
  await choose(page, film.path)
  await until(() => parts.stored.length === 1)
  await page.context().setOffline(true)
  await held.breakOff()
  await uploadSays(page, 'Your file is kept here: try again.')
  await page.context().setOffline(false)
  await arrival(page, 'tunnel.mp4')
  t.same(sorted(parts.stored), numbers(1, 4))
})

t.test('five files at once all arrive, two at a time', async t => {
  const films = [12, 1, 9, 2, 12].map((size, index) => createFilm(`film-${index + 1}.mp4`, size * MIB))
  const page = await openAs(t, 'Grace')
  let going = 0
  let mostAtOnce = 0
  page.on('request', request => {
    if (request.method() === 'POST' && new URL(request.url()).pathname === '/uploads') mostAtOnce = Math.max(mostAtOnce, going += 1)
  })
  page.on('response', response => { if (response.url().endsWith('/complete')) going -= 1 })
  await choose(page, ...films.map(film => film.path))
  for (const film of films) await arrival(page, film.name)
  t.equal(mostAtOnce, 2)
  for (const film of films) t.equal(await sha256OfDownload(page, film.name), film.sha256, film.name)
})

t.test('what one tab is sending another tab does not offer, until the first is closed', async t => {
  const film = createFilm('shared.mp4', 12 * MIB)
  const first = await openAs(t, 'Ada')
  const context = first.context()
  const parts = watchParts(context)
  await holdBack(first, isPartAfter(1))
  await choose(first, film.path)
  await until(() => parts.stored.length === 1)

  const second = await context.newPage()
  await signIn(second, dev.url, 'Ada')
  // A whole upload goes by, and the row has not appeared.
  await choose(second, createFilm('beside.mp4', 1 * MIB).path)
  await arrival(second, 'beside.mp4')
  t.equal(await second.getByText('shared.mp4', { exact: true }).count(), 0)

  await first.close()
  await uploadSays(second, 'Unfinished: choose the file again to go on.')
  const after = watchParts(context)
  const known = watchKnownParts(second)
  await choose(second, film.path)
  await arrival(second, 'shared.mp4')
  t.same(sorted([...await known(), ...after.asked]), numbers(1, 3))
})

t.test('an upload whose parts are all there is finished after a reload, without the file', async t => {
  const film = createFilm('almost.mp4', 12 * MIB)
  const page = await openAs(t, 'Ada')
  const held = await holdBack(page, url => url.pathname.endsWith('/complete'))
  const completing = page.waitForRequest('**/complete')
  await choose(page, film.path)
  await completing
  held.letThrough()
  await page.reload()
  await arrival(page, 'almost.mp4')
  t.equal(await sha256OfDownload(page, 'almost.mp4'), film.sha256)
})

t.test('an upload that the service has ended is not offered any more, nor is that of another user', async t => {
  const page = await openAs(t, 'Ada')
  const parts = watchParts(page.context())
  await holdBack(page, isPartAfter(1))
  const creating = page.waitForResponse(response => response.status() === 201)
  await choose(page, createFilm('ended.mp4', 12 * MIB).path)
  const { file } = await (await creating).json() as { file: { id: string } }
  await until(() => parts.stored.length === 1)
  await page.getByRole('button', { name: 'Sign out' }).click()
  await signIn(page, dev.url, 'Grace')
  t.equal(await page.getByText('ended.mp4', { exact: true }).count(), 0)
  await page.getByRole('button', { name: 'Sign out' }).click()
  await signIn(page, dev.url, 'Ada')
  await uploadSays(page, 'Unfinished')

  const aborted = await fetch(`${dev.url}/uploads/${file.id}`, { method: 'DELETE', headers: await authorization() })
  t.equal(aborted.status, 204)
  const asked = page.waitForResponse(`${dev.url}/uploads/${file.id}`)
  await page.reload()
  await asked
  await page.waitForFunction('localStorage.length === 0')
  t.equal(await page.getByText('ended.mp4', { exact: true }).count(), 0)
})

for (const colorScheme of ['light', 'dark'] as const) {
  t.test(`uploads fit on a narrow screen, ${colorScheme}`, async t => {
    const page = await newPage(t, browser, { colorScheme, viewport: { width: 390, height: 844 } })
    await signIn(page, dev.url, 'Grace')
    await holdBack(page, isPartAfter(0))
    await choose(page, createFilm(`${'a rather long name '.repeat(8)}.mp4`, 12 * MIB).path)
    await uploadSays(page, '0 %')
    await page.getByRole('button', { name: 'Pause' }).click()
    await uploadSays(page, 'Paused')
    t.equal(await page.locator('html').evaluate(html => html.scrollWidth), 390)
    await page.getByRole('button', { name: 'Cancel' }).click()
  })
}

async function openAs (t: Test, name: string): Promise<Page> {
  const page = await newPage(t, browser)
  await signIn(page, dev.url, name)
  return page
}

interface Film { readonly name: string, readonly path: string, readonly sha256: string }

/** An MP4 file by its first box (ISO/IEC 14496-12, 4.3), and noise behind it. */
function createFilm (name: string, sizeBytes: number): Film {
  const bytes = randomBytes(sizeBytes)
  bytes.set(Buffer.from('\0\0\0\x18ftypisom\0\0\x02\0isommp42', 'latin1'))
  const path = join(folder, name)
  writeFileSync(path, bytes)
  return { name, path, sha256: sha256(bytes) }
}

function sha256 (bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Waits until a file stands among those that are ready. */
async function arrival (page: Page, filename: string) {
  const item = fileItem(page, filename).first()
  await item.waitFor()
  return item
}

async function sha256OfDownload (page: Page, filename: string): Promise<string> {
  const download = await downloadOf(page, () => fileItem(page, filename).first().getByRole('button', { name: 'Download' }).click())
  return sha256(await readFile(await download.path()))
}

function partNumberOf (url: URL): number | null {
  const text = url.origin === new URL(dev.s3Url).origin ? url.searchParams.get('partNumber') : null
  return text === null ? null : Number(text)
}

function isPartAfter (partNumber: number): (url: URL) => boolean {
  return url => (partNumberOf(url) ?? 0) > partNumber
}

/** Holds requests back until they are let through; those that were held until then stay so. */
async function holdBack (page: Page, fits: (url: URL) => boolean): Promise<{ letThrough (): void, breakOff (): Promise<void> }> {
  const held: Route[] = []
  let isOpen = false
  await page.route(fits, async route => {
    if (isOpen) await route.continue()
    else held.push(route)
  })
  return {
    letThrough () { isOpen = true },
    async breakOff () {
      isOpen = true
      for (const route of held) await route.abort('internetdisconnected')
    }
  }
}

interface PartLog {
  /** The part numbers of all requests, and of those that the store has answered with 200. */
  readonly asked: number[]
  readonly stored: number[]
  mostAtOnce: number
  stop (): void
}

function watchParts (context: BrowserContext): PartLog {
  const open = new Set<Request>()
  const log: PartLog = {
    asked: [],
    stored: [],
    mostAtOnce: 0,
    stop () {
      context.off('request', onRequest)
      context.off('response', onResponse)
    }
  }
  const onRequest = (request: Request): void => {
    const partNumber = partNumberOf(new URL(request.url()))
    if (request.method() !== 'PUT' || partNumber === null) return
    log.asked.push(partNumber)
    open.add(request)
    log.mostAtOnce = Math.max(log.mostAtOnce, open.size)
  }
  const onResponse = (response: { request (): Request, status (): number }): void => {
    const request = response.request()
    if (!open.delete(request)) return
    if (response.status() === 200) log.stored.push(partNumberOf(new URL(request.url())) ?? 0)
  }
  context.on('request', onRequest)
  context.on('response', onResponse)
  context.on('requestfailed', request => open.delete(request))
  return log
}

/**
 * What the service last named as uploaded. A request that was held back may still get through while its tab closes,
 * so this can be more than the tab has heard of.
 */
function watchKnownParts (page: Page): () => Promise<number[]> {
  let last: Promise<number[]> = Promise.resolve([])
  page.on('response', response => {
    if (response.request().method() !== 'GET' || !/\/uploads\/[^/]+$/.test(response.url())) return
    last = response.json().then(({ upload }) => upload.uploadedParts.map((part: { partNumber: number }) => part.partNumber))
  })
  return async () => await last
}

function numbers (first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

function sorted (values: readonly number[]): number[] {
  return values.toSorted((a, b) => a - b)
}

async function keptInBrowser (page: Page): Promise<string[]> {
  return await page.evaluate('Object.entries(localStorage).map(entry => entry.join(" "))')
}

async function authorization (): Promise<Record<string, string>> {
  return { authorization: `Bearer ${await dev.issueToken('ada')}` }
}

async function statusOf (url: string): Promise<string> {
  const response = await fetch(url, { headers: await authorization() })
  return (await response.json() as { file: { status: string } }).file.status
}
