import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ConfigError, loadConfig } from '../src/config.js'
import { Environment } from '../src/environment.js'
import { PROVIDER_ABILITIES, type StoreAbilities } from '../src/object-storage/providers.js'

const good = { S3_BUCKET: 'files', JWT_SECRET: 'x'.repeat(32), JWT_AUDIENCE: 'app' }

t.test('the least configuration works, with safe defaults', async t => {
  const config = loadConfig(good)
  t.match(config, {
    host: '127.0.0.1',
    port: 3000,
    database: { url: 'sqlite:./presignd.db', migrateAtStart: true },
    jwt: { keys: { secret: good.JWT_SECRET }, audiences: ['app'], ownerClaim: 'sub', scopeClaim: 'scope' },
    corsOrigins: [],
    trustProxy: [],
    docsUi: false,
    warnings: []
  })
  t.ok(Object.isFrozen(config) && Object.isFrozen(config.jwt))
})

const pem = { type: 'pkcs8', format: 'pem' } as const
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048, publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: pem })
const cloudFront = { DOWNLOAD_SIGNER: 'cloudfront', CLOUDFRONT_URL: 'https://d111111abcdef8.cloudfront.net', CLOUDFRONT_KEY_PAIR_ID: 'K2JCJMDEHXQW5F', CLOUDFRONT_PRIVATE_KEY: privateKey }

const bad: ReadonlyArray<[name: string, env: Record<string, string | undefined>, problem: RegExp]> = [
  ['no bucket', { S3_BUCKET: undefined }, /^S3_BUCKET is not set: /],
  ['an empty bucket', { S3_BUCKET: '' }, /^S3_BUCKET is not set: /],
  ['no audience', { JWT_AUDIENCE: undefined }, /^JWT_AUDIENCE is not set: /],
  ['an audience of commas', { JWT_AUDIENCE: ',' }, /^JWT_AUDIENCE must name an audience/],
  ['nothing to check tokens with', { JWT_SECRET: undefined }, /^JWT_SECRET is not set: set it, or JWT_ISSUER/],
  ['T41: a secret of 31 bytes', { JWT_SECRET: 'x'.repeat(31) }, /^JWT_SECRET must be at least 32 bytes long \(it has 31\)/],
  ['T1 T41: a secret and a key set', { JWT_JWKS_URL: 'https://a.example/keys', JWT_ISSUER: 'https://a.example' }, /^JWT_SECRET and JWT_JWKS_URL are both set/],
  ['a key set without an issuer', { JWT_SECRET: undefined, JWT_JWKS_URL: 'https://a.example/keys' }, /^JWT_ISSUER is not set: it is required with JWT_JWKS_URL/],
  ['T41: an http issuer', { JWT_SECRET: undefined, JWT_ISSUER: 'http://a.example' }, /^JWT_ISSUER must be an https URL/],
  ['T41: keys over http', { JWT_SECRET: undefined, JWT_ISSUER: 'https://a.example', JWT_JWKS_URL: 'http://a.example/k' }, /^JWT_JWKS_URL must be an https URL/],
  ['T36 T41: every origin', { CORS_ORIGINS: '*' }, /^CORS_ORIGINS must list origins/],
  ['an origin with a path', { CORS_ORIGINS: 'https://a.example/' }, /^CORS_ORIGINS: "https:\/\/a.example\/" is not an origin/],
  ['an origin without a scheme', { CORS_ORIGINS: 'a.example' }, /^CORS_ORIGINS: "a.example" is not an origin/],
  ['T27 T41: upload URLs of over seven days', { UPLOAD_URL_TTL_SECONDS: '604801' }, /^UPLOAD_URL_TTL_SECONDS must be <= 604800/],
  ['T27 T41: download URLs of over seven days', { DOWNLOAD_URL_TTL_SECONDS: '604801' }, /^DOWNLOAD_URL_TTL_SECONDS must be <= 604800/],
  ['URLs of under a minute', { UPLOAD_URL_TTL_SECONDS: '59' }, /^UPLOAD_URL_TTL_SECONDS must be >= 60/],
  ['T34 T41: everyone as proxy', { TRUST_PROXY: '0.0.0.0/0' }, /^TRUST_PROXY: "0.0.0.0\/0" is not/],
  ['T34 T41: everyone as proxy, by IPv6', { TRUST_PROXY: '::ffff:0:0/96' }, /^TRUST_PROXY: "::ffff:0:0\/96" would trust every IPv4 address/],
  ['T34 T41: half of IPv6, and everyone with it', { TRUST_PROXY: '10.0.0.0/8,::/1' }, /^TRUST_PROXY: "::\/1" would trust/],
  ['a proxy by name', { TRUST_PROXY: 'proxy' }, /^TRUST_PROXY: "proxy" is not/],
  ['a prefix that is too long', { TRUST_PROXY: '10.0.0.0/33' }, /^TRUST_PROXY: /],
  ['too much clock tolerance', { JWT_CLOCK_TOLERANCE_SECONDS: '6' }, /^JWT_CLOCK_TOLERANCE_SECONDS must be <= 5/],
  ['a port that is none', { PORT: 'http' }, /^PORT must be integer/],
  ['a flag that is none', { DOCS_UI: 'maybe' }, /^DOCS_UI must be boolean/],
  ['another database', { DATABASE_URL: 'mysql://x' }, /^DATABASE_URL must begin with/],
  ['a password with what belongs to URLs', { DATABASE_URL: 'postgres://service:hunter#2@db/files' }, /^DATABASE_URL is no URL: in user and password, .* are written as %40/],
  ['an endpoint with credentials', { S3_ENDPOINT: 'https://a:b@s3.example' }, /^S3_ENDPOINT must not hold credentials/],
  ['an endpoint that is no URL', { S3_ENDPOINT: 's3.example' }, /^S3_ENDPOINT must be an http or https URL/],
  ['another signer of downloads', { DOWNLOAD_SIGNER: 'fastly' }, /^DOWNLOAD_SIGNER must be one of s3, cloudfront$/],
  ['CloudFront without its address', { ...cloudFront, CLOUDFRONT_URL: undefined }, /^CLOUDFRONT_URL is not set: DOWNLOAD_SIGNER=cloudfront needs it$/],
  ['CloudFront without the id of a key', { ...cloudFront, CLOUDFRONT_KEY_PAIR_ID: undefined }, /^CLOUDFRONT_KEY_PAIR_ID is not set/],
  ['CloudFront without a key', { ...cloudFront, CLOUDFRONT_PRIVATE_KEY: undefined }, /^CLOUDFRONT_PRIVATE_KEY is not set/],
  ['an address of CloudFront that is not used', { CLOUDFRONT_URL: cloudFront.CLOUDFRONT_URL }, /^CLOUDFRONT_URL is set without DOWNLOAD_SIGNER=cloudfront: set both, or neither$/],
  ['a key of CloudFront that is not used', { CLOUDFRONT_PRIVATE_KEY: privateKey }, /^CLOUDFRONT_PRIVATE_KEY is set without/],
  ['T41: CloudFront over http', { ...cloudFront, CLOUDFRONT_URL: 'http://d111111abcdef8.cloudfront.net' }, /^CLOUDFRONT_URL must be an https origin/],
  ['CloudFront below a path', { ...cloudFront, CLOUDFRONT_URL: 'https://d111111abcdef8.cloudfront.net/files' }, /^CLOUDFRONT_URL must be an https origin/],
  ['a key of CloudFront for its id', { ...cloudFront, CLOUDFRONT_KEY_PAIR_ID: 'my-key' }, /^CLOUDFRONT_KEY_PAIR_ID must be the id/],
  ['a public key for CloudFront', { ...cloudFront, CLOUDFRONT_PRIVATE_KEY: publicKey }, /^CLOUDFRONT_PRIVATE_KEY must be a private key in PEM/],
  ['a key of CloudFront with a passphrase', { ...cloudFront, CLOUDFRONT_PRIVATE_KEY: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey.export({ ...pem, cipher: 'aes-256-cbc', passphrase: 'x' }).toString() }, /^CLOUDFRONT_PRIVATE_KEY must be a private key in PEM/],
  ['a key of CloudFront on another curve', { ...cloudFront, CLOUDFRONT_PRIVATE_KEY: generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).privateKey.export(pem).toString() }, /^CLOUDFRONT_PRIVATE_KEY must be RSA of 2048 bits, or ECDSA on P-256/],
  ['T41: a short key of CloudFront', { ...cloudFront, CLOUDFRONT_PRIVATE_KEY: generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export(pem).toString() }, /^CLOUDFRONT_PRIVATE_KEY must be RSA of 2048 bits/],
  ['an Ed25519 key for CloudFront', { ...cloudFront, CLOUDFRONT_PRIVATE_KEY: generateKeyPairSync('ed25519').privateKey.export(pem).toString() }, /^CLOUDFRONT_PRIVATE_KEY must be RSA of 2048 bits/],
  ['another exporter of traces', { OTEL_TRACES_EXPORTER: 'zipkin' }, /^OTEL_TRACES_EXPORTER must be otlp or none/],
  ['traces over gRPC', { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4317', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, /^OTEL_EXPORTER_OTLP_PROTOCOL must be one of http\/protobuf, http\/json$/],
  ['a collector that is no address', { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'collector:4318' }, /^OTEL_EXPORTER_OTLP_TRACES_ENDPOINT must be an http or https URL$/],
  ['a cookie whose name is none', { UPPY_COOKIE: 'my session' }, /^UPPY_COOKIE must be the name of a cookie/],
  ['an unknown provider', { S3_PROVIDER: 'dropbox' }, /^S3_PROVIDER must be one of aws, r2, minio, ceph, b2, gcs, wasabi, spaces, generic$/],
  ['an unknown signer', { S3_SIGNER: 'aws' }, /^S3_SIGNER must be one of built-in, sdk$/],
  ['a signer that cannot bind what the provider needs', { S3_SIGNER: 'sdk', S3_PROVIDER: 'ceph' }, /^S3_SIGNER must be built-in where the S3 server keeps no checksums/],
  ['a signer that cannot bind what the server needs', { S3_SIGNER: 'sdk', S3_CHECKSUMS: 'false' }, /^S3_SIGNER must be built-in/],
  ['an unknown log level', { LOG_LEVEL: 'loud' }, /^LOG_LEVEL must be one of fatal, error/],
  ['T41: a short secret of events', { EVENTS_TOKEN: 'x'.repeat(31) }, /^EVENTS_TOKEN must be at least 32 bytes long \(it has 31\)/],
  ['a topic that is none', { EVENTS_SNS_TOPIC_ARNS: 'uploads' }, /^EVENTS_SNS_TOPIC_ARNS: "uploads" is not the ARN of a topic/],
  ['a FIFO topic', { EVENTS_SNS_TOPIC_ARNS: 'arn:aws:sns:eu-central-1:123456789012:uploads.fifo' }, /^EVENTS_SNS_TOPIC_ARNS: /],
  ['a secret twice', { JWT_SECRET_FILE: '/x' }, /^JWT_SECRET and JWT_SECRET_FILE are both set/],
  ['a file that is not there', { JWT_SECRET: undefined, JWT_SECRET_FILE: '/no/such/file' }, /^JWT_SECRET_FILE cannot be read: ENOENT/]
]
for (const [name, env, problem] of bad) {
  t.test(`refuses ${name}, in one line that names the variable`, async t => {
    try {
      loadConfig({ ...good, ...env })
      t.fail('it was accepted')
    } catch (error) {
      t.ok(error instanceof ConfigError)
      const { problems } = error as ConfigError
      t.ok(problems.some(line => problem.test(line)), problems.join(' | '))
      t.ok(problems.every(line => !line.includes('\n')))
      t.notMatch(problems.join(), good.JWT_SECRET, 'without the secret itself')
      t.notMatch(problems.join(), /BEGIN|MII/, 'and without a key')
    }
  })
}

const providers: ReadonlyArray<[name: string, env: Record<string, string>, expected: StoreAbilities]> = [
  ['none is named: what AWS does', {}, PROVIDER_ABILITIES.aws],
  ['R2: no forms, equal parts', { S3_PROVIDER: 'r2' }, { conditionalWrites: true, checksums: false, postPolicies: false, unequalParts: false }],
  ['Ceph: no checksums', { S3_PROVIDER: 'ceph' }, { conditionalWrites: true, checksums: false, postPolicies: true, unequalParts: true }],
  ['a copy where conditions are not known to be honoured', { S3_PROVIDER: 'wasabi' }, { conditionalWrites: false, checksums: false, postPolicies: true, unequalParts: true }],
  ['what is said of the server itself wins', { S3_PROVIDER: 'r2', S3_CONDITIONAL_WRITES: 'false', S3_CHECKSUMS: 'true', S3_POST_POLICIES: 'true', S3_UNEQUAL_PARTS: 'true' }, { conditionalWrites: false, checksums: true, postPolicies: true, unequalParts: true }]
]
for (const [name, env, expected] of providers) {
  t.test(`S3_PROVIDER: ${name}`, async t => { t.match(loadConfig({ ...good, ...env }).s3, expected) })
}

t.test('the AWS SDK may sign where the server keeps checksums, whoever made it', async t => {
  t.equal(loadConfig({ ...good, S3_SIGNER: 'sdk' }).s3.signer, 'sdk')
  t.equal(loadConfig({ ...good, S3_SIGNER: 'sdk', S3_PROVIDER: 'wasabi', S3_CHECKSUMS: 'true' }).s3.signer, 'sdk')
  t.equal(loadConfig(good).s3.signer, 'built-in')
})

t.test('tells all problems at once', async t => {
  t.throws(() => loadConfig({ PORT: 'x' }), new ConfigError([
    'S3_BUCKET is not set: The bucket that files go to.',
    `JWT_AUDIENCE is not set: ${Environment.properties.JWT_AUDIENCE.description}`,
    'PORT must be integer'
  ]))
})

t.test('takes the limits themselves', async t => {
  t.match(loadConfig({ ...good, UPLOAD_URL_TTL_SECONDS: '604800', TRUST_PROXY: '10.0.0.0/8, ::1', CORS_ORIGINS: 'https://a.example, http://localhost:5173' }), {
    uploadUrlTtlSeconds: 604_800, trustProxy: ['10.0.0.0/8', '::1'], corsOrigins: ['https://a.example', 'http://localhost:5173']
  })
})

t.test('reads a secret from a file, and an audience "any" with a warning', async t => {
  const file = join(t.testdir(), 'secret')
  writeFileSync(file, `${'y'.repeat(40)}\n`)
  const config = loadConfig({ ...good, JWT_SECRET: undefined, JWT_SECRET_FILE: file, JWT_AUDIENCE: 'any' })
  t.strictSame(config.jwt.keys, { secret: 'y'.repeat(40) })
  t.equal(config.jwt.audiences, undefined)
  t.match(config.warnings, [/JWT_AUDIENCE/])
})

const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' }
const tracing: ReadonlyArray<[name: string, env: Record<string, string>, expected: object | undefined]> = [
  ['nothing is set', {}, undefined],
  ['there is a collector', ENDPOINT, { protocol: 'http/protobuf' }],
  ['it is for traces alone', { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://collector/v1/traces' }, { protocol: 'http/protobuf' }],
  ['it is where it is by default', { OTEL_TRACES_EXPORTER: 'otlp' }, { protocol: 'http/protobuf' }],
  ['JSON is asked for', { ...ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' }, { protocol: 'http/json' }],
  ['traces go another way than the rest', { ...ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc', OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/protobuf' }, { protocol: 'http/protobuf' }],
  ['no traces are wanted', { ...ENDPOINT, OTEL_TRACES_EXPORTER: 'none' }, undefined],
  ['all of it is disabled', { ...ENDPOINT, OTEL_SDK_DISABLED: 'TRUE' }, undefined]
]
for (const [name, env, expected] of tracing) {
  t.test(`traces, when ${name}: ${expected ? 'on' : 'off'}`, async t => { t.strictSame(loadConfig({ ...good, ...env }).tracing, expected) })
}

t.test('takes the keys that CloudFront takes, from a file too', async t => {
  const file = join(t.testdir(), 'key.pem')
  writeFileSync(file, privateKey)
  t.match(loadConfig({ ...good, ...cloudFront, CLOUDFRONT_PRIVATE_KEY: undefined, CLOUDFRONT_PRIVATE_KEY_FILE: file }).cloudFront, { url: cloudFront.CLOUDFRONT_URL, keyPairId: 'K2JCJMDEHXQW5F', privateKey: privateKey.trim() })
  const onP256 = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey.export({ type: 'sec1', format: 'pem' }).toString()
  t.ok(loadConfig({ ...good, ...cloudFront, CLOUDFRONT_PRIVATE_KEY: onP256 }).cloudFront)
  t.equal(loadConfig(good).cloudFront, undefined)
})

t.test('.env.example lists every variable with its description and default', async t => {
  const text = readFileSync('.env.example', 'utf8')
  const listed = [...text.matchAll(/^#? ?([A-Z][A-Z0-9_]+)=(.*)$/gm)].map(([, name, value]) => [name, value])
  const known = new Map(Object.entries(Environment.properties))
  const own = listed.filter(([name]) => !name?.startsWith('AWS_'))
  t.same(own.map(([name]) => name), [...known.keys()], 'the same names in the same order')
  for (const [name, value] of own) {
    const { description, default: standard } = known.get(String(name)) as { description: string, default?: unknown }
    t.ok(text.includes(`# ${description}\n`), `${name}: its description`)
    if (standard !== undefined) t.equal(value, String(standard), `${name}: its default`)
  }
})
