import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Page } from 'playwright-core'
import t from 'tap'
import { startDev } from '../../src/dev/dev.js'
import { launchBrowser } from '../helpers/browser.js'
import { makeTemporaryFolder } from '../helpers/s3.js'
import { png } from '../helpers/samples.js'
import { choose, fileItem, newPage, signIn } from './fixtures/demo-page.js'

const MIB = 1024 ** 2
const POLICIES = `
policies:
  pictures:
    contentTypes: [image/png]
    maxSize: 1MiB
    key: "pictures/{owner}/{fileId}{ext}"
  forms:
    contentTypes: [image/png]
    maxSize: 1MiB
    key: "forms/{owner}/{fileId}{ext}"
    methods: [POST]
  films:
    contentTypes: [application/octet-stream]
    maxSize: 1GiB
    key: "films/{owner}/{fileId}{ext}"
    multipart: { threshold: 5MiB, partSize: 5MiB }
    verify: { contentType: false }
`

const folder = await makeTemporaryFolder(t)
const policiesFile = join(folder, 'policies.yaml')
await writeFile(policiesFile, POLICIES)
const browser = await launchBrowser(t)
const dev = await startDev({ port: 0, s3Port: 0, dataDir: join(folder, 'data'), env: { POLICIES_FILE: policiesFile } })
t.teardown(() => dev.close())

const rows: ReadonlyArray<[method: string, policy: string, name: string, bytes: Buffer]> = [
  ['PUT', 'pictures', 'it\'s a "lake" $HOME.png', png(1)],
  ['POST', 'forms', 'it\'s a "form", too.png', png(2)],
  ['multipart', 'films', 'a film', randomBytes(11 * MIB)]
]
for (const [method, policy, name, bytes] of rows) {
  t.test(`with ?explain, the page shows curl lines for every step, which work as they are pasted: ${method}`, async t => {
    const place = join(folder, policy)
    await mkdir(place)
    await writeFile(join(place, name), bytes)
    const page = await newPage(t, browser)
    await signIn(page, `${dev.url}/?explain`, 'Ada')
    await page.locator('#policy').selectOption(policy)
    await choose(page, join(place, name))
    await fileItem(page, name).waitFor()

    const steps = await shownSteps(page)
    t.same(steps.map(({ title }) => title), ['Get a token, in the folder of presignd', 'Create the upload', `Send the bytes (${method})`, 'Complete it', 'Download it'])
    const [getToken, ...others] = steps.map(({ lines }) => lines)
    const shell = async (lines: string, options: { cwd?: string, env?: Record<string, string> }): Promise<string> =>
      (await promisify(execFile)('bash', ['-euc', lines], { ...options, env: { PATH: process.env['PATH'], ...options.env } })).stdout
    const token = await shell(`${getToken}\nprintf %s "$TOKEN"`, { env: { DATA_DIR: join(folder, 'data') } })
    t.notMatch(steps.map(({ lines }) => lines).join('\n'), /eyJ|X-Amz-Signature=/, 'neither token nor signature is shown')

    await shell(others.join('\n'), { cwd: place, env: { TOKEN: token } })
    t.ok((await readFile(join(place, `downloaded-${name}`))).equals(bytes), 'the bytes have been there and back')
    await page.reload()
    await fileItem(page, name).nth(1).waitFor()
    t.pass('the lines have made a file of their own')
  })
}

t.test('without ?explain there are no lines, and a link to them', async t => {
  const page = await newPage(t, browser)
  await signIn(page, dev.url, 'Ada')
  await choose(page, { name: 'plain.png', mimeType: 'image/png', buffer: png(3) })
  await fileItem(page, 'plain.png').waitFor()
  t.same(await shownSteps(page), [])
  t.ok(await page.locator('#explain').isHidden())
  await page.getByRole('link', { name: 'curl' }).click()
  await page.getByRole('heading', { name: 'Hello, Ada' }).waitFor()
  t.equal(new URL(page.url()).search, '?explain')
})

t.test('the lines of one user are gone for the next', async t => {
  const page = await newPage(t, browser)
  await signIn(page, `${dev.url}/?explain`, 'Ada')
  await choose(page, { name: 'mine.png', mimeType: 'image/png', buffer: png(5) })
  await page.getByText('Download it').waitFor()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('button', { name: 'Grace' }).click()
  await page.getByRole('heading', { name: 'Hello, Grace' }).waitFor()
  t.same(await shownSteps(page), [])
  t.ok(await page.locator('#explain').isHidden())
})

t.test('long lines do not widen a narrow screen', async t => {
  const page = await newPage(t, browser, { viewport: { width: 390, height: 844 } })
  await signIn(page, `${dev.url}/?explain`, 'Grace')
  await choose(page, { name: `${'a rather long name '.repeat(8)}.png`, mimeType: 'image/png', buffer: png(4) })
  await page.getByText('Download it').waitFor()
  t.equal(await page.locator('html').evaluate(html => html.scrollWidth), 390)
})

async function shownSteps (page: Page): Promise<Array<{ title: string, lines: string }>> {
  return await page.locator('#explanations li').evaluateAll(steps => steps.map(step => ({
    title: step.querySelector('p')?.textContent ?? '', lines: step.querySelector('code')?.textContent ?? ''
  })))
}
