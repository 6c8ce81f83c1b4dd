// The commands of README.md and docs/*.md, pasted as they stand there into a shell beside a service.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { CreateBucketCommand } from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import { createToken } from '../../src/cli/token.js'
import { startDev } from '../../src/dev/dev.js'
import { Environment } from '../../src/environment.js'
import { freePort } from '../helpers/free-port.js'
import { startTestS3 } from '../helpers/s3.js'
import { SECRET } from '../helpers/service.js'
import { openShell } from './fixtures/shell.js'

interface Block { readonly page: string, readonly text: string }

/** What is not run here, and why. Everything else is. */
const NOT_RUN: ReadonlyArray<[command: RegExp, reason: string]> = [
  [/^npm ci$/, 'the packages are there: .ci/run does it in a clean clone'],
  [/^npm run build$/, 'slow: .ci/run does it'],
  [/^npm run dev$/, 'does not end: test/server.test.ts starts it'],
  [/^docker (build|buildx build) .*$/, 'needs a container engine: .ci/image builds without one'],
  [/^docker buildx imagetools inspect node:[\w.-]+$/, 'needs a registry'],
  [/^docker run --rm (--entrypoint \w+ )?presignd:[\d.]+ .*$/, 'needs a container engine: .ci/image runs the commands'],
  [/^docker compose .*$/, 'needs a container engine: test/shipping.test.ts reads compose.yaml'],
  [/^kubectl .*$/, 'needs a cluster: test/deploy reads the manifests'],
  [/^cosign attest .*$/, 'needs a registry']
]

/** What is refused when all is well. */
const REFUSED: ReadonlyArray<[page: string, part: string, says: RegExp]> = [
  ['docs/scanning.md', '/verdict', /error: 403/] // Not the token of a scanner.
]

const folder = mkdtempSync(join(tmpdir(), 'presignd-test-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
for (const name of ['package.json', '.npmrc', 'policies.example.yaml', '.env.example', 'compose.yaml', 'docs/sample.png', 'deploy']) cpSync(name, join(folder, name), { recursive: true })
cpSync('docs/sample.png', join(folder, 'lake.png'))
for (const name of ['src', 'node_modules']) symlinkSync(resolve(name), join(folder, name))
mkdirSync(join(folder, 'dist'))

const dev = await startDev({ port: 0, s3Port: 0, dataDir: join(folder, '.data'), env: { SHUTDOWN_DRAIN_SECONDS: '0' } })
t.teardown(() => dev.close())
const s3 = await startTestS3(t)
await s3.client.send(new CreateBucketCommand({ Bucket: 'my-bucket' }))
/** The reader's store, instead of AWS. */
const own = { PORT: String(await freePort()), S3_ENDPOINT: s3.endpoint, S3_FORCE_PATH_STYLE: 'true', AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey, SHUTDOWN_DRAIN_SECONDS: '0' }
/** What the reader writes into the copy of .env.example. */
const edited = { ...own, S3_BUCKET: 'my-bucket', JWT_AUDIENCE: 'my-app', JWT_SECRET: SECRET, POLICIES_FILE: 'policies.example.yaml' }
const shell = openShell(folder, { docker: /^/, kubectl: /^/, cosign: /^/, npm: /^(ci|run build|run dev)$/ })
const blocks = ['README.md', ...readdirSync('docs').filter(name => name.endsWith('.md')).map(name => `docs/${name}`)].flatMap(page =>
  [...readFileSync(page, 'utf8').matchAll(/^( *)```(?:sh|bash)\b.*\n([\s\S]*?)^ *```/gm)].map(([, indent = '', text = '']): Block => ({ page, text: text.replaceAll(new RegExp(`^${indent}`, 'gm'), '') })))

t.test('there are commands to paste', async t => { t.ok(blocks.length > 15) })

t.test('versions, bases and files are named as they are', async t => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  const [, base] = /^ARG NODE_IMAGE=(.*)$/m.exec(readFileSync('Dockerfile', 'utf8')) ?? []
  const text = blocks.map(({ text }) => text).join('\n')
  const named = (pattern: RegExp): string[] => [...new Set(text.match(pattern))]
  t.same(named(/(?<=\bpresignd:)\d[\w.]*/g), [version])
  t.same(named(/\bnode:\d[\w.-]*/g), [base])
  t.same(named(/(?<=\bjob\/)[\w-]+/g), [`presignd-migrate-${version.replaceAll('.', '-')}`])
  for (const path of named(/(?<![\w/.])(?:deploy|docs)\/[\w/-]+(?:\.\w+)?/g)) t.ok(existsSync(path), path)
})

t.test('settings name variables that there are', async t => {
  const settings = blocks.filter(isSetting)
  t.ok(settings.length > 5)
  for (const { page, text } of settings) {
    for (const [, name = ''] of text.matchAll(/^([A-Z0-9_]+)=/gm)) t.ok(name.replace(/_FILE$/, '') in Environment.properties || name.startsWith('OTEL_'), `${page}: ${name}`) // Those are of the OpenTelemetry SDK.
  }
})

t.test('the quick start leads from nothing to manifests of one\'s own', async t => {
  const page = blocks.filter(({ page }) => page === 'docs/quick-start.md')
  const settles = page.findIndex(({ text }) => text.includes('cat >.env'))
  for (const [index, block] of page.entries()) {
    const running = shell.paste(t, index < settles ? at(dev.url, block) : at(`http://127.0.0.1:${own.PORT}`, block), index < settles ? {} : own)
    t.equal(await running.ended, 0, `${running.stdout()}${running.stderr()}`)
  }
  checkCalls(t)
  t.ok(readFileSync(join(folder, '.data/downloaded.png')).equals(readFileSync('docs/sample.png')))
  t.match(readFileSync(join(folder, 'deploy/kubernetes/service.yaml'), 'utf8'), 'image: registry.example.com/presignd:')
})

for (const block of blocks.filter(block => block.page !== 'docs/quick-start.md' && !isSetting(block))) {
  const { page, text } = block
  t.test(`${page}: ${text.split('\n').find(line => !line.startsWith('#'))?.replace(/ +#.*/, '')}`, async t => {
    // A service of the reader's own has settings of its own; the rest is about the one that runs.
    const isOwn = /--env-file=\.env|presignd explain --policy/.test(text)
    const running = shell.paste(t, at(dev.url, block), isOwn ? { ...edited, TOKEN: await createToken(edited, ['--sub', 'ada']) } : await beginUpload())
    if (/\bserve\b/.test(text)) await running.output(/presignd is ready/)
    else {
      const code = await running.ended
      const refusal = REFUSED.find(([name, part]) => name === page && text.includes(part))
      if (refusal) t.match(running.stderr(), refusal[2])
      else t.equal(code, 0, `${running.stdout()}${running.stderr()}`)
    }
    checkCalls(t)
  })
}

/** The text beside the service that runs here. */
function at (url: string, { text }: Block): string {
  return text.replaceAll(/http:\/\/127\.0\.0\.1:3000|https:\/\/files\.example\.com/g, url)
}

/** What pages take for granted: a token, an upload that has begun, a file. */
async function beginUpload (): Promise<Record<string, string>> {
  const token = await dev.issueToken('ada')
  const body = JSON.stringify({ policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: 10, method: 'PUT' })
  const created = await fetch(`${dev.url}/uploads`, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body })
  const { file, upload } = await created.json() as { file: { id: string }, upload: { url: string } }
  return { TOKEN: token, PRESIGND: dev.url, ID: file.id, URL: upload.url, FILE: 'docs/sample.png', TYPE: 'image/png' }
}

/** Every line of it, but for comments. */
function isSetting ({ text }: Block): boolean {
  return text.split('\n').every(line => /^([A-Z0-9_]+=\S*( +#.*)?)?$/.test(line))
}

function checkCalls (t: Test): void {
  for (const call of shell.takeCalls()) t.ok(NOT_RUN.some(([command]) => command.test(call)), `is run here, or has a reason not to be: ${call}`)
}
