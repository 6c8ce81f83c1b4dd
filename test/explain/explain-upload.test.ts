import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ApiError } from '../../src/errors.js'
import { findTokenUser } from '../../src/plugins/find-token-user.js'
import { createReadings } from '../../src/readings.js'
import { explainUpload, type Step } from '../../src/uploads/explain-upload.js'
import type { CreateUploadBody } from '../../src/uploads/schemas.js'
import { runCli } from '../helpers/process.js'
import { makeTemporaryFolder, startEmbeddedTestS3 } from '../helpers/s3.js'
import { png } from '../helpers/samples.js'
import { createTestToken, ENGINES, startService, testEnvironment, type TestService } from '../helpers/service.js'

const PICTURE = { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: 100 }
const SHA256 = '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
const now = Math.floor(Date.now() / 1000)

/** Each is asked of the service and of the explanation, which must agree. */
const rows: ReadonlyArray<readonly [name: string, body: Partial<Record<keyof CreateUploadBody, unknown>>, code: string, claims?: Readonly<Record<string, unknown>>]> = [
  ['a file that fits', {}, ''],
  ['a file of the largest size', { sizeBytes: 1024 ** 2 }, ''],
  ['a file one byte larger', { sizeBytes: 1024 ** 2 + 1 }, 'FILE_TOO_LARGE'],
  ['a file that is too small', { policy: 'posters', sizeBytes: 0 }, 'INVALID_REQUEST'],
  ['a type that is not listed', { contentType: 'image/gif' }, 'CONTENT_TYPE_NOT_ALLOWED'],
  ['a type in upper case', { contentType: 'Image/PNG' }, 'CONTENT_TYPE_NOT_ALLOWED'],
  ['a policy that there is not', { policy: 'none' }, 'POLICY_NOT_FOUND'],
  ['a name that is empty', { filename: '' }, 'INVALID_REQUEST'],
  ['a size that is no number of bytes', { sizeBytes: 1.5 }, 'INVALID_REQUEST'],
  ['a method that there is not', { method: 'PATCH' }, 'INVALID_REQUEST'],
  ['a method that the policy does not allow', { method: 'POST' }, 'POLICY_FORBIDDEN'],
  ['no size, where only a form does without', { sizeBytes: undefined }, 'INVALID_REQUEST'],
  ['no size, with a form', { policy: 'forms', sizeBytes: undefined }, ''],
  ['a scope that is missing', { policy: 'reports', contentType: 'application/pdf', checksumSha256: SHA256 }, 'SCOPE_MISSING'],
  ['a claim that is another', { policy: 'reports', contentType: 'application/pdf', checksumSha256: SHA256 }, 'POLICY_FORBIDDEN', { scope: 'reports:write', department: 'sales' }],
  ['a checksum that is missing', { policy: 'reports', contentType: 'application/pdf' }, 'INVALID_REQUEST', { scope: 'reports:write', department: 'finance' }],
  ['all that is asked for', { policy: 'reports', contentType: 'application/pdf', checksumSha256: SHA256 }, '', { scope: 'reports:write', department: 'finance' }],
  ['a SHA-256 of a file in parts', { policy: 'parts', checksumSha256: SHA256, sizeBytes: 6 * 1024 ** 2 }, 'INVALID_REQUEST'],
  ['the first of two faults', { contentType: 'image/gif', sizeBytes: 1024 ** 3 }, 'CONTENT_TYPE_NOT_ALLOWED'],
  ['a token that has expired', {}, 'UNAUTHENTICATED', { exp: now - 60 }],
  ['a token for somebody else', {}, 'UNAUTHENTICATED', { aud: 'another' }],
  ['a token without an owner', {}, 'UNAUTHENTICATED', { sub: undefined }]
]

t.test('an explanation says what the service does', async t => {
  const service = await startService(t, await startEmbeddedTestS3(t))
  for (const [name, changed, code, claims] of rows) {
    await t.test(name, async t => {
      const token = await service.token('ada', claims)
      const body = { ...PICTURE, ...changed } as CreateUploadBody
      const steps = await explain(service, token, body)
      const reply = await service.call('POST', '/uploads', { token, body })
      t.equal(reply.statusCode === 201 ? '' : reply.json<{ code: string }>().code, code)
      const first = steps.find(step => step.refusal)
      t.equal(first?.refusal?.error.code ?? '', code)
      if (code !== '') t.match(first?.refusal?.change, /^[A-Z].*\.$/, 'and what to change')
      // The words of the framework for a body that is not valid are its own.
      if (first && first.check !== 'request') t.equal(first.found, reply.json<{ detail: string }>().detail)
    })
  }
})

t.test('every check is told, also those after the first refusal', async t => {
  const service = await startService(t, await startEmbeddedTestS3(t))
  const steps = await explain(service, await service.token('ada'), { policy: 'reports', filename: 'a.gif', contentType: 'image/gif', sizeBytes: 1024 ** 3 })
  t.same(steps.map(({ check, refusal }) => [check, refusal?.error.code ?? '']), [
    ['policy', ''], ['admission', 'SCOPE_MISSING'], ['content type', 'CONTENT_TYPE_NOT_ALLOWED'], ['size', 'FILE_TOO_LARGE'], ['checksum', 'INVALID_REQUEST'], ['method', ''], ['quota', '']
  ])
  t.match(steps[1]?.refusal?.change, 'The token needs the scope reports:write and the claim department = "finance"')
})

for (const engine of ENGINES) {
  t.test(`the quota is that of the database, ${engine}`, async t => {
    const service = await startService(t, await startEmbeddedTestS3(t), { engine })
    const token = await service.token('ada')
    const body = { ...PICTURE, policy: 'few', sizeBytes: 1000 }
    for (let held = 0; held < 5; held += 1) {
      t.match((await explain(service, token, body)).at(-1), { check: 'quota', found: `${held} of 10 files, ${held * 1000} of 5000 bytes, ${held} of 5 pending` })
      await service.call('POST', '/uploads', { token, body })
    }
    const refused = (await explain(service, token, body)).at(-1)
    t.match(refused, { check: 'quota', refusal: { error: { code: 'QUOTA_EXCEEDED' }, change: /give up uploads of ada, or raise quota/ } })
    t.equal((await service.call('POST', '/uploads', { token, body })).json<{ code: string }>().code, 'QUOTA_EXCEEDED')
    t.match((await explain(service, await service.token('grace'), body)).at(-1), { found: /^0 of 10 files/ })
  })
}

t.test('presignd explain', async t => {
  const folder = await makeTemporaryFolder(t)
  const database = join(folder, 'presignd.db')
  // No store answers here, and none is asked.
  const env = { ...await testEnvironment(t), DATABASE_URL: `sqlite:${database}`, S3_BUCKET: 'files', S3_ENDPOINT: 'http://127.0.0.1:1', AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' }
  const token = await createTestToken('ada')
  const run = async (t: Test, ...args: string[]) => {
    const running = runCli(t, ['explain', '--token', token, ...args], env)
    const code = await running.ended
    t.notMatch(running.stdout() + running.stderr(), token.split('.')[2], 'the token is not printed')
    return { code, out: running.stdout(), err: running.stderr() }
  }
  const picture = ['--policy', 'pictures', '--type', 'image/png', '--size', '12345', '--name', 'a.png']

  await t.test('says each check of an upload that would be accepted, and ends with 0', async t => {
    const { code, out } = await run(t, ...picture)
    t.equal(code, 0)
    t.match(out, /^✓ token {10}ada, with no scopes\n✓ policy .*✓ content type {3}image\/png\n✓ size .*12345 bytes, of 0 to 1048576\n.*✓ method {9}PUT\n.*✓ key {12}pictures\/ada\/\{fileId\}\.png\n\nAccepted\n$/s)
  })

  await t.test('makes no database', async t => {
    t.equal((await run(t, '--policy', 'few', '--type', 'image/png', '--size', '1', '--name', 'a.png')).code, 0)
    t.notOk(existsSync(database))
  })

  await t.test('writes nothing into the one that there is', async t => {
    // In a process of its own: SQLite closes a file only once all its statements are collected, and may still write then.
    const migrating = runCli(t, ['migrate'], env)
    t.equal(await migrating.ended, 0, migrating.stderr())
    t.notOk(existsSync(`${database}-wal`), 'all of it is in the one file')
    const before = fingerprint(database)
    t.match((await run(t, '--policy', 'few', '--type', 'image/png', '--size', '1', '--name', 'a.png')).out, /0 of 10 files.*Accepted/s)
    t.equal(fingerprint(database), before)
  })

  await t.test('says what to change of an upload that would be refused, and ends with 1', async t => {
    const { code, out } = await run(t, ...picture.with(3, 'image/gif'))
    t.equal(code, 1)
    t.match(out, /✗ content type {3}The policy "pictures" takes image\/png.*\n {17}→ Send one of these types, or add image\/gif to contentTypes of the policy "pictures" in .*\.yaml\.\n/)
    t.match(out, /\n\nRefused: 415 CONTENT_TYPE_NOT_ALLOWED\n$/)
  })

  await t.test('says which check of the token it was, which clients are not told', async t => {
    for (const [claims, said] of [
      [{ exp: now - 60 }, /✗ token .*The token has expired\. Get a new one\.\n.*→ .*[Ee]xpired.* Get a new one\.\n/],
      [{ aud: 'another' }, /→ .*aud.* The claim "aud" must name one of JWT_AUDIENCE: presignd-test\.\n/]
    ] as const) {
      const { code, out } = await run(t, ...picture, '--token', await createTestToken('ada', claims))
      t.equal(code, 1)
      t.match(out, said)
      t.match(out, /\n\nRefused: 401 UNAUTHENTICATED\n$/)
    }
    const forged = `${token.slice(0, -8)}AAAAAAAA`
    t.match((await run(t, ...picture, '--token', forged)).out, /signed with another secret than JWT_SECRET/)
  })

  await t.test('takes name, size and first bytes from a file', async t => {
    const good = join(folder, 'lake.png')
    await writeFile(good, png())
    t.match(await run(t, '--policy', 'pictures', '--type', 'image/png', good), { code: 0, out: new RegExp(`${statSync(good).size} bytes.*✓ first bytes {4}can be image/png`, 's') })
    const fake = join(folder, 'fake.png')
    await writeFile(fake, '<script>')
    t.match(await run(t, '--policy', 'pictures', '--type', 'image/png', fake), { code: 1, out: /✗ first bytes {4}The file is declared as image\/png, but it is.*Refused: 422 OBJECT_MISMATCH\n$/s })
  })

  await t.test('asks for what is missing', async t => {
    const { code, out, err } = await run(t, '--policy', 'pictures')
    t.equal(code, 1)
    t.equal(out, '')
    t.equal(err, 'presignd: --type is missing\npresignd: --name is missing\n')
    t.match(await run(t, ...picture.with(5, 'large')), { code: 1, err: 'presignd: --size must be a number of bytes\n' })
  })
})

async function explain (service: TestService, token: string, body: CreateUploadBody): Promise<Step[]> {
  try {
    const user = await findTokenUser(token, { ...service.config.jwt, now: () => new Date() })
    const steps: Step[] = []
    for await (const step of explainUpload(createReadings(service.config), user, body)) steps.push(step)
    return steps
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    return [{ check: 'token', found: error.detail, refusal: { error, change: 'Get another one.' } }]
  }
}

function fingerprint (path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}
