import { generateKeyPairSync } from 'node:crypto'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runCli } from '../helpers/process.js'
import { SECRET } from '../helpers/service.js'

const POLICIES = `policies:
  pictures: { contentTypes: [image/png], maxSize: 1kB, key: "pictures/{fileId}", require: { claims: { plan: pro } } }
`

function check (t: Test, env: Readonly<Record<string, string>>, policies = POLICIES) {
  const folder = t.testdir({ 'policies.yaml': policies, secret: SECRET })
  return runCli(t, ['config', 'check'], { S3_BUCKET: 'uploads', POLICIES_FILE: join(folder, 'policies.yaml'), JWT_SECRET: SECRET, JWT_AUDIENCE: 'app', ...env })
}

t.test('presignd config check prints what is set and what is not, without a secret', async t => {
  const running = check(t, { DATABASE_URL: 'postgres://service:hunter2@db/files', REDIS_URL: 'rediss://:hunter2@cache:6379', EVENTS_TOKEN: `${SECRET}${SECRET}`, PORT: '4000' })
  t.equal(await running.ended, 0, running.stderr())
  const { variables, policies } = JSON.parse(running.stdout())
  t.match(variables, {
    S3_BUCKET: 'uploads',
    PORT: '4000',
    S3_REGION: 'us-east-1',
    S3_ENDPOINT: null,
    JWT_SECRET: '[secret]',
    EVENTS_TOKEN: '[secret]',
    DATABASE_URL: 'postgres://service:[secret]@db/files',
    REDIS_URL: 'rediss://:[secret]@cache:6379'
  })
  t.match(policies, { pictures: { maxSizeBytes: 1000, uploadUrlTtlSeconds: 900, requiredClaims: { plan: 'pro' } } })
  t.notMatch(running.stdout(), /hunter2/)
  t.notOk(running.stdout().includes(SECRET))
})

for (const [address, shown] of [
  ['postgres://service:hunter2@3x7Y@db/files', 'postgres://service:[secret]@db/files'],
  ['postgres://service@db/files?sslmode=require&password=hunter2', 'postgres://service@db/files?sslmode=require&password=[secret]'],
  ['postgres://db/files?sslpassword=hunter2&user=a', 'postgres://db/files?sslpassword=[secret]&user=a'],
  ['sqlite:/var/lib/presignd/a.db', 'sqlite:/var/lib/presignd/a.db']
] as const) {
  t.test(`presignd config check shows ${shown}`, async t => {
    const running = check(t, { DATABASE_URL: address, REDIS_URL: 'redis://cache/0?password=hunter2' })
    t.equal(await running.ended, 0, running.stderr())
    t.match(JSON.parse(running.stdout()).variables, { DATABASE_URL: shown, REDIS_URL: 'redis://cache/0?password=[secret]' })
  })
}

t.test('an empty POLICIES_FILE counts as unset', async t => {
  const running = check(t, { POLICIES_FILE: '' })
  t.equal(await running.ended, 1)
  t.match(running.stderr(), /^presignd: POLICIES_FILE: ENOENT: .*policies\.yaml/)
})

t.test('a key of CloudFront is a secret, and a name that only looks like one of its variables is told', async t => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const env = { DOWNLOAD_SIGNER: 'cloudfront', CLOUDFRONT_URL: 'https://d111111abcdef8.cloudfront.net', CLOUDFRONT_KEY_PAIR_ID: 'K2JCJMDEHXQW5F', CLOUDFRONT_PRIVATE_KEY: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
  const running = check(t, env)
  t.equal(await running.ended, 0, running.stderr())
  t.match(JSON.parse(running.stdout()).variables, { ...env, CLOUDFRONT_PRIVATE_KEY: '[secret]' })
  t.notMatch(running.stdout(), /PRIVATE KEY-/)
  const slipped = check(t, { ...env, CLOUDFRONT_DOMAIN: 'd111111abcdef8.cloudfront.net' })
  t.equal(await slipped.ended, 1)
  t.match(slipped.stderr(), /CLOUDFRONT_DOMAIN is not a variable/)
})

t.test('what Kubernetes tells of a service with the name s3, and what OpenTelemetry reads, is no slip of anyone', async t => {
  const names = ['S3_SERVICE_HOST', 'S3_SERVICE_PORT', 'S3_SERVICE_PORT_API', 'S3_PORT', 'S3_PORT_9000_TCP', 'S3_PORT_9000_TCP_ADDR', 'EVENTS_PORT_80_TCP_PROTO']
  const running = check(t, { ...Object.fromEntries(names.map(name => [name, 'x'])), OTEL_SERVICE_NAME: 'files', OTEL_EXPORTER_OTLP_HEADERS: 'authorization=x' })
  t.equal(await running.ended, 0, running.stderr())
})

t.test('a secret in a file is named by its file', async t => {
  const running = check(t, { JWT_SECRET: '', JWT_SECRET_FILE: 'README.md' })
  t.equal(await running.ended, 0, running.stderr())
  t.equal(JSON.parse(running.stdout()).variables.JWT_SECRET, '[from README.md]')
})

t.test('everything that is wrong is told at once: values, unknown names and policies', async t => {
  const running = check(t, { PORT: 'x', S3_BUCKT: 'typo', JWT_AUDIENCE: '' }, POLICIES.replace('1kB', '1 potato'))
  t.equal(await running.ended, 1)
  t.equal(running.stdout(), '')
  for (const problem of [/^presignd: PORT must be integer$/m, /^presignd: S3_BUCKT is not a variable/m, /^presignd: JWT_AUDIENCE is not set/m, /policy pictures, maxSize/]) t.match(running.stderr(), problem)
})

t.test('what is allowed but worth a warning is told beside', async t => {
  const running = check(t, { JWT_AUDIENCE: 'any' })
  t.equal(await running.ended, 0)
  t.match(running.stderr(), /JWT_AUDIENCE is "any"/)
})

t.test('another word than check explains the command', async t => {
  const running = runCli(t, ['config'])
  t.equal(await running.ended, 2)
  t.match(running.stderr(), /^ {2}config {5}check:/m)
})
