import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { freePort } from '../helpers/free-port.js'
import type { Running } from '../helpers/process.js'
import { startTestS3 } from '../helpers/s3.js'
import { testEnvironment } from '../helpers/service.js'
import { testLife } from '../end-to-end/fixtures/life.js'
import { firstProcess, readImage } from './fixtures/container.js'

interface Sbom { readonly bomFormat: string, readonly metadata: { readonly component: { readonly name: string, readonly version: string } }, readonly components: ReadonlyArray<{ readonly name: string, readonly version: string }> }

const image = readImage()
const app = join(image.root, 'app')
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
const s3 = await startTestS3(t)
const env = {
  ...await testEnvironment(t, { engine: 'postgres' }),
  PORT: String(await freePort()),
  POLICIES_FILE: '/app/policies.example.yaml',
  S3_BUCKET: await s3.createBucket(),
  S3_ENDPOINT: s3.endpoint,
  AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
  AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey,
  SHUTDOWN_DRAIN_SECONDS: '1'
}
const url = `http://127.0.0.1:${env.PORT}`

async function serve (t: Test, more: Readonly<Record<string, string>> = {}): Promise<Running> {
  const running = image.start(t, undefined, { ...env, ...more })
  await running.output(/presignd is ready/)
  return running
}

async function outputOf (t: Test, running: Running): Promise<string> {
  t.equal(await running.ended, 0, running.stderr())
  return running.stdout()
}

t.test('its process is not root, has no rights and gets none', async t => {
  const status = await outputOf(t, image.run(t, ['cat', '/proc/self/status']))
  t.match(status, /^Uid:\s+1000\s+1000\s+1000\s+1000$/m)
  t.match(status, /^Groups:\s+1000\s*$/m)
  t.match(status, /^CapEff:\s+0+$/m)
  t.match(status, /^CapPrm:\s+0+$/m)
  t.match(status, /^NoNewPrivs:\s+1$/m)
})

t.test('its root cannot be written, not even where everyone may write', async t => {
  for (const folder of ['/app', '/tmp', '/home/node']) {
    const running = image.run(t, ['touch', `${folder}/trace`])
    t.equal(await running.ended, 1, folder)
    t.match(running.stderr(), /Read-only file system|Permission denied/)
  }
})

t.test('nothing of the service belongs to its user, who could change it where the root can be written', async t => {
  t.equal(await outputOf(t, image.run(t, ['find', '/app', '/usr/local/bin/presignd', '(', '-user', '1000', '-o', '-perm', '-o+w', ')', '!', '-type', 'l'])), '')
})

t.test('holds the service, without development mode, types of packages and native code', async t => {
  t.same(readdirSync(app).sort(), ['LICENSE', 'dist', 'node_modules', 'package.json', 'policies.example.yaml', 'sbom.cdx.json'])
  t.notOk(existsSync(join(app, 'dist/dev')))
  const names = readdirSync(app, { recursive: true }) as string[]
  t.same(names.filter(name => /^node_modules.*\.d\.[cm]?ts$/.test(name)), [])
  // Without native code, what was made on one processor runs on every other.
  t.same(names.filter(name => /\.(node|so|dylib)$/.test(name)), [])
})

t.test('V8 takes what was compiled for this processor', async t => {
  const program = `const { readFileSync } = require('node:fs')
    const file = '/app/dist/service.cjs'
    const script = new (require('node:vm').Script)(readFileSync(file, 'latin1'), { filename: file, cachedData: readFileSync('/app/dist/service.v8') })
    console.log('rejected:', script.cachedDataRejected)`
  t.equal(await outputOf(t, image.run(t, ['node', '-e', program])), 'rejected: false\n')
})

t.test('tells in its SBOM every package that is there, and none that is not', async t => {
  const sbom = JSON.parse(readFileSync(join(app, 'sbom.cdx.json'), 'utf8')) as Sbom
  t.match(sbom, { bomFormat: 'CycloneDX', metadata: { component: { name: 'presignd', version } } })
  const told = sbom.components.map(({ name, version }) => `${name}@${version}`)
  t.same(told.sort(), [...packagesIn(join(app, 'node_modules'))].sort())
})

t.test('has presignd on its path, with every command', async t => {
  const usage = image.start(t, ['--help'])
  t.equal(await usage.ended, 0)
  const commands = [...usage.stderr().matchAll(/^ {2}([a-z]+) {2}/gm)].map(([, name]) => name)
  const runs: ReadonlyArray<[args: string[], says: RegExp]> = [
    [['config', 'check'], /S3_BUCKET/],
    [['migrate'], /^migrated: /],
    [['doctor'], /0 to set right|[0-9]+ ok/],
    [['iam'], /s3:GetObject/],
    [['token', '--sub', 'ada'], /^[\w-]+\.[\w-]+\.[\w-]+\n$/],
    [['sweep'], /./],
    [['reconcile'], /./],
    [['webhooks', 'deliver'], /^/]
  ]
  for (const [args, says] of runs) t.match(await outputOf(t, image.start(t, args, env)), says, args.join(' '))
  const refused = image.start(t, ['explain'], env)
  t.not(await refused.ended, 0)
  t.match(refused.stderr(), /^presignd: /)
  t.same(commands.filter(name => !['serve', 'explain', ...runs.map(([[command]]) => command)].includes(name)), [], 'none is left out')
  t.match(await outputOf(t, image.run(t, ['presignd', 'token', '--sub', 'ada'], env)), /^\S+\n$/, 'for those who are inside')
})

t.test('serves, and says that it is well', async t => {
  const token = (await outputOf(t, image.start(t, ['token', '--sub', 'ada'], env))).trim()
  const running = await serve(t)
  t.match(readFileSync(`/proc/${firstProcess(running)}/cmdline`, 'utf8'), /^node\0/, 'Node itself gets the signals')
  const [kind, ...healthcheck] = image.config.Healthcheck.Test
  t.equal(kind, 'CMD')
  t.equal(await image.run(t, healthcheck, env).ended, 0)
  t.equal(await image.run(t, healthcheck, { ...env, PORT: String(await freePort()) }).ended, 1, 'or not')
  testLife(t, { url, token })
})

t.test('ends tidily when it is asked to, as process 1: first it is said, then it is done', async t => {
  const running = await serve(t)
  t.equal((await fetch(`${url}/readyz`)).status, 200)
  process.kill(firstProcess(running), 'SIGTERM')
  await running.output(/"msg":"closing"/)
  t.equal((await fetch(`${url}/readyz`)).status, 503, 'the load balancer is told')
  t.equal((await fetch(`${url}/policies`)).status, 401, 'others are still served')
  t.equal(await running.ended, 0)
  t.equal(running.stderr(), '')
})

t.test('says in one line what is missing', async t => {
  const running = image.start(t)
  t.equal(await running.ended, 1)
  t.match(running.stderr(), /^presignd: S3_BUCKET is not set/)
  t.notMatch(running.stderr(), /ExperimentalWarning|^ {4}at /m)
})

/** Names and versions, each once. */
function packagesIn (folder: string): Set<string> {
  const found = new Set<string>()
  for (const path of readdirSync(folder, { recursive: true }) as string[]) {
    if (!/(^|\/)node_modules\/(@[^/]+\/)?[^/]+\/package\.json$/.test(`node_modules/${path}`)) continue
    const { name, version } = JSON.parse(readFileSync(join(folder, path), 'utf8')) as { name?: string, version?: string }
    if (name && version) found.add(`${name}@${version}`)
  }
  return found
}
