import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair } from 'jose'
import t, { type Test } from 'tap'
import type { FindingId } from '../../src/doctor/finding.js'
import { publicAccessProbes } from '../../src/doctor/public-access.js'
import { openSites } from '../../src/doctor/site.js'
import { startS3Proxy } from '../faults/fixtures/s3-proxy.js'
import { makeCertificate } from '../helpers/certificate.js'
import { startEmbeddedTestS3 } from '../helpers/s3.js'
import { examine, look, makePatient, problems, type Env } from './fixtures/look.js'

const s3 = await startEmbeddedTestS3(t)
const PROBE = 'presignd doctor was here'

/** Variables that the SDK reads by itself, for one test. */
function withVariables (t: Test, variables: Env): void {
  const before = Object.keys(variables).map(name => [name, process.env[name]] as const)
  const set = (name: string, value: string | undefined): void => {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
  for (const [name, value] of Object.entries(variables)) set(name, value)
  t.teardown(() => { for (const [name, value] of before) set(name, value) })
}

async function listen (t: Test, answer: RequestListener): Promise<string> {
  const server = createServer(answer)
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.close() })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const inSeconds = (seconds: number): string => new Date(Date.now() + seconds * 1000).toISOString()
const none = { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined, AWS_EC2_METADATA_DISABLED: 'true', AWS_SHARED_CREDENTIALS_FILE: '/dev/null', AWS_CONFIG_FILE: '/dev/null' }

const credentials: ReadonlyArray<[name: string, variables: Env | (() => Env), level: 'warn' | 'fail', id: FindingId, message: RegExp, fix: RegExp]> = [
  ['none', none, 'fail', 'credentials', /none were found/, /^set AWS_ACCESS_KEY_ID/],
  ['those of nobody', { AWS_ACCESS_KEY_ID: 'NOBODY' }, 'fail', 'credentials', /refused \(InvalidAccessKeyId\)/, /^correct AWS_ACCESS_KEY_ID/],
  ['a wrong secret', { AWS_SECRET_ACCESS_KEY: 'wrong' }, 'fail', 'credentials', /refused \(SignatureDoesNotMatch\)/, /^correct AWS_SECRET_ACCESS_KEY/],
  ['a session that is over', { AWS_SESSION_TOKEN: 'over' }, 'fail', 'credentials', /refused \(InvalidToken\)/, /^renew AWS_SESSION_TOKEN/],
  ['F37: two minutes left', () => ({ AWS_CREDENTIAL_EXPIRATION: inSeconds(120) }), 'warn', 'credentials-life', /^1\d\d s left: no URL lives longer, whatever its 900 s/, /role/],
  ['F37: half a minute left', () => ({ AWS_CREDENTIAL_EXPIRATION: inSeconds(45) }), 'fail', 'credentials-life', /^\d\d? s left: nothing is signed/, /role/]
]
for (const [name, variables, level, id, message, fix] of credentials) {
  t.test(`credentials: ${name}`, async t => {
    const patient = await makePatient(t, s3)
    withVariables(t, typeof variables === 'function' ? variables() : variables)
    const found = problems(await examine(patient))
    t.strictSame(found.map(({ id, level }) => ({ id, level })), [{ id, level }], JSON.stringify(found))
    t.match(found[0], { message, fix })
    t.notMatch(JSON.stringify(found), s3.credentials.secretAccessKey)
  })
}

t.test('credentials of a session whose end nobody knows', async t => {
  const patient = await makePatient(t, s3)
  const [site] = openSites(patient.config, patient.policySet)
  withVariables(t, { AWS_SESSION_TOKEN: 'token' })
  t.strictSame(await site?.settings.findCredentials(), { isTemporary: true, expiresAt: null })
  site?.close()
})

const clocks: ReadonlyArray<[name: string, offsetSeconds: number, level: 'ok' | 'warn' | 'fail', message: RegExp]> = [
  ['right', 0, 'ok', /^as that/],
  ['F36: 45 s ahead', -45, 'warn', /^4\d s ahead of the store$/],
  ['F36: 45 s behind', 45, 'warn', /^4\d s behind the store$/],
  ['F36: ten minutes behind', 600, 'fail', /^\d+ s behind the store: nothing is signed/],
  ['F36: an hour ahead', -3600, 'fail', /^3\d+ s ahead of the store: nothing is signed/]
]
for (const [name, offsetSeconds, level, message] of clocks) {
  t.test(`a clock that is ${name}`, async t => {
    const patient = await makePatient(t, s3)
    s3.setNow(() => new Date(Date.now() + offsetSeconds * 1000))
    t.teardown(() => s3.setNow(() => new Date()))
    const findings = await examine(patient)
    t.match(findings.find(({ id }) => id === 'clock'), { level, message, ...(level !== 'ok' && { fix: /NTP/ }) })
    t.strictSame(problems(findings).map(({ id }) => id), level === 'ok' ? [] : ['clock'])
  })
}

const addresses: ReadonlyArray<[name: string, env: Env, id: FindingId, message: RegExp, fix: RegExp]> = [
  ['nobody listens', { S3_ENDPOINT: 'http://127.0.0.1:1' }, 'endpoint', /does not answer \(ECONNREFUSED\)/, /^correct S3_ENDPOINT/],
  ['no host has the name', { S3_ENDPOINT: 'http://store.invalid', S3_FORCE_PATH_STYLE: 'false' }, 'endpoint', /there is no host for the bucket/, /^set S3_FORCE_PATH_STYLE=true/],
  ['the bucket is elsewhere', { S3_REGION: 'eu-west-1' }, 'region', /is in us-east-1, not in eu-west-1/, /^set S3_REGION=us-east-1$/],
  ['there is no such bucket', { S3_BUCKET: 'nowhere' }, 'bucket', /there is no bucket nowhere/, /correct S3_BUCKET$/],
  ['nobody listens for clients', { S3_PUBLIC_ENDPOINT: 'http://127.0.0.1:1' }, 'public-endpoint', /does not answer \(ECONNREFUSED\)/, /^correct S3_PUBLIC_ENDPOINT/]
]
for (const [name, env, id, message, fix] of addresses) {
  t.test(`an address where ${name}`, async t => {
    const found = problems(await look(t, s3, { env }))
    t.match(found, [{ id, level: 'fail', message, fix }])
    t.equal(found.length, 1)
  })
}

t.test('an address whose certificate is not good', async t => {
  const { pem, privateKey } = makeCertificate()
  const server = createTlsServer({ cert: pem, key: privateKey.export({ type: 'pkcs8', format: 'pem' }) }, (_, response) => response.end())
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.close() })
  const found = problems(await look(t, s3, { env: { S3_ENDPOINT: `https://127.0.0.1:${(server.address() as AddressInfo).port}` } }))
  t.match(found, [{ id: 'endpoint', level: 'fail', message: /certificate .* is not good/, fix: /NODE_EXTRA_CA_CERTS/ }])
  t.equal(found.length, 1)
})

t.test('an address of a bucket that has moved', async t => {
  const found = problems(await look(t, s3, { rule: ({ operation }) => operation === 'GET bucket' ? { kind: 'answer', status: 301, headers: { 'x-amz-bucket-region': 'eu-central-1' }, body: '<Error><Code>PermanentRedirect</Code></Error>' } : undefined }))
  t.match(found, [{ id: 'region', message: /is in eu-central-1/, fix: 'set S3_REGION=eu-central-1' }])
})

t.test('a PUT that is not allowed ends the look', async t => {
  for (const [code, fix] of [['AccessDenied', /allow s3:PutObject/], ['SignatureDoesNotMatch', /Host header/], ['NotImplemented', /If-None-Match/]] as const) {
    const findings = await look(t, s3, { rule: ({ operation }) => operation === 'PutObject' ? { kind: 'answer', status: 403, body: `<Error><Code>${code}</Code></Error>` } : undefined })
    t.match(problems(findings), [{ id: 'put', level: 'fail', message: new RegExp(code), fix }])
    t.notOk(findings.some(({ id }) => id === 'create-only-put'))
  }
})

t.test('clients go by the public address, and so do the probes', async t => {
  const front = await startS3Proxy(t, s3.endpoint)
  const findings = await look(t, s3, { env: { S3_PUBLIC_ENDPOINT: front.endpoint } })
  t.strictSame(problems(findings), [])
  t.match(findings.find(({ id }) => id === 'public-endpoint')?.message, front.endpoint)
  t.ok(front.count('PutObject') > 10)
  t.ok(front.requests.some(({ method }) => method === 'OPTIONS'))
})

t.test('a public address that leads to another store, or spoils the signature', async t => {
  for (const [code, fix] of [['NoSuchKey', /lead to the same store/], ['SignatureDoesNotMatch', /Host header/]] as const) {
    const front = await startS3Proxy(t, s3.endpoint)
    front.rule = () => ({ kind: 'answer', status: 404, body: `<Error><Code>${code}</Code></Error>` })
    const found = problems(await look(t, s3, { env: { S3_PUBLIC_ENDPOINT: front.endpoint } }))
    t.match(found, [{ id: 'public-endpoint', level: 'fail', message: new RegExp(code), fix }])
    t.equal(found.length, 1, 'all else is asked at the internal one')
  }
})

t.test('a public address without TLS', async t => {
  const front = await startS3Proxy(t, s3.endpoint)
  front.rule = () => ({ kind: 'answer', status: 200, body: PROBE })
  const findings = await look(t, s3, { env: { S3_PUBLIC_ENDPOINT: front.endpoint.replace('127.0.0.1', '0.0.0.0') } })
  t.match(findings.find(({ id }) => id === 'public-endpoint'), { level: 'warn', message: /whoever is on the way/, fix: /^give the store TLS, and set S3_PUBLIC_ENDPOINT/ })
})

t.test('the switches of AWS against public access', async t => {
  const block = (on: string): string => `<PublicAccessBlockConfiguration>${['BlockPublicAcls', 'IgnorePublicAcls', 'BlockPublicPolicy', 'RestrictPublicBuckets'].map((name, index) => `<${name}>${index === 0 ? on : 'true'}</${name}>`).join('')}</PublicAccessBlockConfiguration>`
  const rows: ReadonlyArray<[status: number, body: string, isAws: boolean, level: 'ok' | 'warn', message: RegExp, fix?: RegExp]> = [
    [200, block('true'), true, 'ok', /is blocked/],
    [200, block('false'), true, 'warn', /^3 of 4 switches/, /put-public-access-block/],
    [404, '<Error><Code>NoSuchPublicAccessBlockConfiguration</Code></Error>', true, 'warn', /^0 of 4 switches/, /put-public-access-block/],
    [403, '<Error><Code>AccessDenied</Code></Error>', true, 'warn', /cannot be read: AccessDenied/, /s3:GetBucketPublicAccessBlock/],
    [501, '<Error><Code>NotImplemented</Code></Error>', true, 'ok', /cannot be read: the store has no such switches/],
    [200, block('false'), false, 'ok', /^3 of 4 switches/]
  ]
  for (const [status, body, isAws, level, message, fix] of rows) {
    const patient = await makePatient(t, s3, { rule: ({ url }) => url.includes('publicAccessBlock') ? { kind: 'answer', status, body } : undefined })
    const [site] = openSites(patient.config, patient.policySet)
    const probe = publicAccessProbes.find(({ id }) => id === 'public-access-block')
    if (!site || !probe) throw new Error('There is a bucket, and a probe of it')
    const [finding] = await probe.run({ ...site, endpoint: isAws ? undefined : 'https://store.example.com' })
    t.match(finding, { level, message, ...(fix && { fix }) }, `${status} ${isAws}`)
    site.close()
  }
})

const databases: ReadonlyArray<[name: string, env: Env, isMigrated: boolean, level: 'ok' | 'warn' | 'fail', id: FindingId, message: RegExp]> = [
  ['is migrated', {}, true, 'ok', 'migrations', /all are applied/],
  ['is not there', { DATABASE_URL: 'postgres://127.0.0.1:1/none' }, false, 'fail', 'database', /does not answer \(ECONNREFUSED\)/],
  ['is not made yet', {}, false, 'ok', 'database', /there is no SQLite file yet/],
  ['is empty', { DATABASE_URL: 'sqlite::memory:' }, false, 'warn', 'migrations', /the next start applies them/],
  ['is empty, and nobody migrates it', { DATABASE_URL: 'sqlite::memory:', DATABASE_MIGRATE: 'false' }, false, 'fail', 'migrations', /DATABASE_MIGRATE is false/]
]
for (const [name, env, isMigrated, level, id, message] of databases) {
  t.test(`a database that ${name}`, async t => {
    const findings = await look(t, s3, { env, isMigrated })
    t.match(findings.find(finding => finding.id === id), { level, message, ...(level !== 'ok' && { fix: String }) })
    t.strictSame(problems(findings).map(({ id }) => id), level === 'ok' ? [] : [id])
  })
}

t.test('keys of tokens', async t => {
  const rsa = { ...await exportJWK((await generateKeyPair('RS256', { extractable: true })).publicKey), kid: 'a' }
  const rows: ReadonlyArray<[name: string, keys: object[] | null, level: 'ok' | 'fail', message: RegExp]> = [
    ['one that fits', [rsa], 'ok', /^1 public keys of/],
    ['for encryption', [{ ...rsa, use: 'enc' }], 'fail', /has no key for RS256/],
    ['of another kind', [{ kty: 'EC', crv: 'P-521', x: 'AA', y: 'AA', kid: 'a' }], 'fail', /has no key for RS256/],
    ['none', [], 'fail', /has no key for RS256/],
    ['that are not there', null, 'fail', /cannot be fetched/]
  ]
  for (const [name, keys, level, message] of rows) {
    const url = await listen(t, (_, response) => { response.writeHead(keys ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify({ keys })) })
    const findings = await look(t, s3, { env: { JWT_SECRET: undefined, JWT_ISSUER: url, JWT_JWKS_URL: `${url}/keys` } })
    t.match(findings.find(({ id }) => id === 'token-keys'), { level, message, ...(level !== 'ok' && { fix: /^correct JWT_JWKS_URL/ }) }, name)
    t.strictSame(problems(findings).map(({ id }) => id), level === 'ok' ? [] : ['token-keys'], name)
  }
  t.match((await look(t, s3)).find(({ id }) => id === 'token-keys'), { level: 'ok', message: /JWT_SECRET/ })
})
