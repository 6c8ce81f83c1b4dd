import { appendFileSync, cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { loadBundle } from '../../src/launch/load-bundle.js'
import { builtCli, run, type Running } from '../helpers/process.js'

const built = dirname(builtCli())
const compiled = readFileSync(join(built, 'service.v8'))

/** A program of its own, as an operator starts one. */
const node = (t: Test, args: readonly string[], env: Readonly<Record<string, string>> = {}): Running => run(t, process.execPath, args, env)

/** Another copy of what was built; outside the project nothing is found that was not built in. */
function copyOf (t: Test, parent: string): string {
  const folder = mkdtempSync(join(parent, 'presignd-launch-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  cpSync(built, folder, { recursive: true })
  return folder
}

/** Undefined where nothing was given to V8. */
const isRejected = (folder: string): boolean | undefined => loadBundle(folder).script.cachedDataRejected

t.test('V8 takes what was compiled ahead', async t => {
  t.equal(isRejected(built), false)
  const folder = copyOf(t, tmpdir())
  appendFileSync(join(folder, 'service.cjs'), ' ')
  t.equal(isRejected(folder), true, 'but not for another text')
  t.ok(compiled.includes('startServer'), 'the service was started for it')
})

const others: ReadonlyArray<[name: string, change: (file: string) => void]> = [
  ['is not there', file => rmSync(file)],
  ['is empty', file => writeFileSync(file, '')],
  ['is cut off', file => writeFileSync(file, compiled.subarray(0, 100_000))],
  ['is something else', file => writeFileSync(file, Buffer.alloc(100_000, 'x'))]
]
for (const [name, change] of others) {
  t.test(`all is the same where what was compiled ahead ${name}`, async t => {
    const folder = copyOf(t, tmpdir())
    change(join(folder, 'service.v8'))
    const running = node(t, [join(folder, 'cli.js'), 'token', '--sub', 'ada'], { JWT_SECRET: 'x'.repeat(32), JWT_AUDIENCE: 'any', S3_BUCKET: 'bucket' })
    t.equal(await running.ended, 0, running.stderr())
    t.match(running.stdout(), /^[\w-]+\.[\w-]+\.[\w-]+\n$/)
  })
}

t.test('compiling again makes the same, and leaves nothing else behind', async t => {
  const folder = copyOf(t, t.testdir())
  rmSync(join(folder, 'service.v8'))
  const scratch = mkdtempSync(join(folder, 'scratch-'))
  const running = node(t, ['--disable-warning=ExperimentalWarning', join(folder, 'compile-ahead.js')], { TMPDIR: scratch })
  t.equal(await running.ended, 0)
  t.equal(running.stderr(), '')
  t.same(readdirSync(scratch), [])
  t.equal(isRejected(folder), false)
})

t.test('a service that does not start while it is built is built nevertheless, and it is said', async t => {
  const folder = copyOf(t, tmpdir())
  rmSync(join(folder, 'service.v8'))
  const running = node(t, ['--import', 'data:text/javascript,process.getBuiltinModule=undefined', join(folder, 'compile-ahead.js')])
  t.equal(await running.ended, 0)
  t.match(running.stderr(), /^presignd: starts will take longer, since the service did not start while it was built: The database of DATABASE_URL could not be migrated: Cannot find module '@photostructure\/sqlite'/)
  t.ok(existsSync(join(folder, 'service.v8')))
})
