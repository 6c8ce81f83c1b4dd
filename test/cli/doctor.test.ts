import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { FINDING_IDS, type Finding } from '../../src/doctor/finding.js'
import { PROVIDER_ABILITIES, PROVIDERS } from '../../src/object-storage/providers.js'
import { leftIn, makePatient, type Patient } from '../doctor/fixtures/look.js'
import { interrupt, runCli, type Running } from '../helpers/process.js'
import { SECRET } from '../helpers/service.js'
import { startEmbeddedTestS3 } from '../helpers/s3.js'

const s3 = await startEmbeddedTestS3(t)

function run (t: Test, { env }: Pick<Patient, 'env'>, ...args: string[]): Running {
  return runCli(t, ['doctor', ...args], { ...env, AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey })
}

t.test('presignd doctor prints a line for each finding, aligned, and ends with 0 where all is well', async t => {
  const running = run(t, await makePatient(t, s3))
  t.equal(await running.ended, 0, running.stderr())
  const lines = running.stdout().split('\n')
  t.equal(lines.findIndex(line => line === ''), lines.length - 3)
  const column = 6 + Math.max(...FINDING_IDS.map(id => id.length)) + 2
  for (const line of lines.slice(0, -3)) {
    t.match(line, /^ok {4}[a-z-]+ {2,}\S/)
    t.match(line.slice(column - 2, column + 1), /^ {2}\S$/, line)
  }
  t.match(lines.at(-2), /^\d\d ok, 0 to look at, 0 to set right$/)
})

t.test('presignd doctor ends with 1 when something fails, with the fix on the same line', async t => {
  const patient = await makePatient(t, s3, { cors: [] })
  const running = run(t, patient)
  t.equal(await running.ended, 1)
  t.match(running.stdout(), /^fail {2}cors-methods +pages of .* -> run presignd doctor --apply with a key that may/m)
  t.match(running.stdout(), /1 to set right\n$/)
  t.equal(await run(t, patient, '--apply').ended, 0, 'and --apply sets it right')
})

t.test('a warning does not fail it', async t => {
  t.equal(await run(t, await makePatient(t, s3, { lifecycle: [] })).ended, 0)
})

t.test('--json prints an array and nothing else', async t => {
  const patient = await makePatient(t, s3, { cors: [] })
  const running = run(t, patient, '--json')
  t.equal(await running.ended, 1)
  const findings = JSON.parse(running.stdout()) as Finding[]
  t.match(findings.find(({ level }) => level === 'fail'), { id: 'cors-methods', bucket: patient.bucket, message: String, fix: String })
})

t.test('presignd doctor ends with 2 when it could not run, with one line', async t => {
  const patient = await makePatient(t, s3)
  for (const [env, args, line] of [
    [{ ...patient.env, S3_BUCKET: undefined }, [], /^presignd: S3_BUCKET is not set/],
    [{ ...patient.env, POLICIES_FILE: '/none.yaml' }, [], /^presignd: POLICIES_FILE: /],
    [patient.env, ['--what'], /^presignd: .*--what/]
  ] as const) {
    const running = run(t, { env }, ...args)
    t.equal(await running.ended, 2)
    t.match(running.stderr(), line)
    t.equal(running.stdout(), '')
    t.equal(running.stderr().trim().split('\n').length, 1)
  }
})

t.test('T28: no secret and no signed URL is ever printed', async t => {
  const patient = await makePatient(t, s3, { cors: [], lifecycle: [], rule: ({ operation, url }) => operation === 'PutObject' && !url.includes('/put?') ? { kind: 'refuse' } : undefined })
  for (const args of [[], ['--json']]) {
    const running = run(t, patient, ...args)
    t.equal(await running.ended, 1)
    t.match(running.stdout(), /create-only-put/)
    for (const secret of [/X-Amz-/, /presignd-doctor-[0-9a-f]+\/\w+\?/, s3.credentials.secretAccessKey, s3.credentials.accessKeyId, SECRET]) t.notMatch(running.stdout() + running.stderr(), secret)
  }
})

t.test('Ctrl-C removes what was written', async t => {
  const patient = await makePatient(t, s3)
  const running = run(t, patient)
  await running.output(/create-only-put/)
  interrupt(running)
  await running.ended
  t.notMatch(running.stdout(), /public-access-block/)
  t.strictSame(await leftIn(s3, patient.bucket), [])
})

t.test('docs/doctor.md has the table of profiles', async t => {
  const page = readFileSync('docs/doctor.md', 'utf8')
  for (const name of PROVIDERS) {
    const { conditionalWrites, checksums, postPolicies, unequalParts } = PROVIDER_ABILITIES[name]
    const cells = [conditionalWrites, checksums, postPolicies, unequalParts].map(can => can ? 'yes' : 'no')
    t.ok(page.includes(`| \`${name}\` | ${cells.join(' | ')} |\n`), name)
  }
})

t.test('T41: presignd does not start when a policy asks for what the store cannot do, and says which', async t => {
  const { env } = await makePatient(t, s3)
  const running = runCli(t, ['serve'], { ...env, S3_PROVIDER: 'r2', PORT: '0' })
  t.equal(await running.ended, 1)
  t.match(running.stderr(), /^presignd: \S+: policy pictures, methods: the store takes no forms \(S3_PROVIDER=r2\): leave POST out, or set S3_POST_POLICIES=true .*\n$/)
})

t.test('docs/doctor.md explains each finding', async t => {
  const page = readFileSync('docs/doctor.md', 'utf8').split('## Profiles')[0] ?? ''
  const explained = [...page.matchAll(/^\| `([a-z-]+)`/gm)].map(([, id]) => id)
  t.strictSame(explained, [...FINDING_IDS])
})
