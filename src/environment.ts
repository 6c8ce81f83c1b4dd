import { Type, type Static } from '@sinclair/typebox'
import { PROVIDERS } from './object-storage/providers.js'
import { StringEnum } from './string-enum.js'

/** S3 refuses a signature that lives longer: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html */
const MAX_URL_TTL_SECONDS = 604_800

const text = (description: string, options: { default?: string } = {}) => Type.String({ minLength: 1, description, ...options })
const seconds = (description: string, value: number, minimum: number, maximum: number) =>
  Type.Integer({ description: `${description} Seconds, ${minimum} to ${maximum}.`, default: value, minimum, maximum })
const flag = (description: string, value: boolean) => Type.Boolean({ description, default: value })

/** Every environment variable the service reads. `NAME_FILE` gives the path of a file that holds the value of NAME. */
export const Environment = Type.Object({
  HOST: text('The address to listen on.', { default: '127.0.0.1' }),
  PORT: Type.Integer({ description: 'The port to listen on; 0 takes any free one.', default: 3000, minimum: 0, maximum: 65535 }),
  DATABASE_URL: text('`sqlite:./path.db` (one process) or `postgres://user:password@host/name`.', { default: 'sqlite:./presignd.db' }),
  DATABASE_MIGRATE: flag('Apply migrations at start. With `false`, run `presignd migrate` before.', true),
  POLICIES_FILE: text('The YAML file with the upload policies.', { default: './policies.yaml' }),
  S3_BUCKET: text('The bucket that files go to.'),
  S3_REGION: text('The region of the bucket.', { default: 'us-east-1' }),
  S3_ENDPOINT: Type.Optional(text('The URL of the S3 server; leave it out for AWS.')),
  S3_PUBLIC_ENDPOINT: Type.Optional(text('The URL that clients reach the S3 server by, when it is not S3_ENDPOINT.')),
  S3_FORCE_PATH_STYLE: flag('Put the bucket into the path instead of the host name.', false),
  S3_PROVIDER: StringEnum(PROVIDERS, { description: `Whose S3 server it is, and so what it can do: ${PROVIDERS.join(', ')}. \`presignd doctor\` tells which fits.`, default: 'generic' }),
  S3_CONDITIONAL_WRITES: Type.Optional(Type.Boolean({ description: 'Whether the S3 server honours `If-None-Match: *` on a PUT, when S3_PROVIDER says it wrong. With `false`, uploads go to a staging key and are sealed by a copy.' })),
  S3_CHECKSUMS: Type.Optional(Type.Boolean({ description: 'Whether the S3 server keeps the checksums of AWS, when S3_PROVIDER says it wrong. With `false`, a SHA-256 is bound by the hash of the payload.' })),
  S3_POST_POLICIES: Type.Optional(Type.Boolean({ description: 'Whether the S3 server takes forms and enforces their policies, when S3_PROVIDER says it wrong. With `false`, no policy may have the method POST.' })),
  S3_UNEQUAL_PARTS: Type.Optional(Type.Boolean({ description: 'Whether the S3 server takes parts of different sizes, when S3_PROVIDER says it wrong. With `false`, clients that cut by themselves must cut alike.' })),
  S3_SIGNER: StringEnum(['built-in', 'sdk'], { description: 'Who signs: the built-in signer, or the AWS SDK (sdk), which makes the same URLs some fifty times slower and only where the S3 server keeps checksums.', default: 'built-in' }),
  JWT_SECRET: Type.Optional(text('The shared secret of HS256, HS384 and HS512 tokens, at least 32 bytes.')),
  JWT_JWKS_URL: Type.Optional(text('Where the public keys of RS256, PS256, ES256 and EdDSA tokens are; needs JWT_ISSUER.')),
  JWT_ISSUER: Type.Optional(text('The `iss` that tokens must carry; alone, the keys are found by OIDC discovery.')),
  JWT_AUDIENCE: text('The `aud` that tokens must carry, or several with commas between; `any` accepts every audience.'),
  JWT_AUDIENCE_CLAIM: text('The claim that names the audience. Access tokens of Cognito have `client_id` instead of `aud`.', { default: 'aud' }),
  JWT_OWNER_CLAIM: text('The claim that names the owner of files.', { default: 'sub' }),
  JWT_SCOPE_CLAIM: text('The claim with the scopes: a string with spaces between, or an array.', { default: 'scope' }),
  JWT_TENANT_CLAIM: Type.Optional(text('The claim that names the tenant; when set, every token must carry it.')),
  JWT_CLOCK_TOLERANCE_SECONDS: seconds('How far the clock of the issuer may be off.', 2, 0, 5),
  CORS_ORIGINS: Type.Optional(text('The origins whose pages may call, with commas between, like `https://app.example.com`. None when unset.')),
  TRUST_PROXY: Type.Optional(text('The addresses or CIDR ranges of the proxies in front, with commas between. None when unset.')),
  UPLOAD_URL_TTL_SECONDS: seconds('How long an upload URL lives, unless its policy says otherwise.', 900, 60, MAX_URL_TTL_SECONDS),
  DOWNLOAD_URL_TTL_SECONDS: seconds('How long a download URL lives, unless its policy says otherwise.', 900, 60, MAX_URL_TTL_SECONDS),
  DOWNLOAD_SIGNER: StringEnum(['s3', 'cloudfront'], { description: 'Whose URLs downloads get: those of s3, or of a cloudfront distribution in front of S3_BUCKET (docs/downloads.md).', default: 's3' }),
  CLOUDFRONT_URL: Type.Optional(text('The origin of the distribution; for DOWNLOAD_SIGNER=cloudfront alone, as the next two.')),
  CLOUDFRONT_KEY_PAIR_ID: Type.Optional(text('The id of a public key in the trusted key group of the distribution.')),
  CLOUDFRONT_PRIVATE_KEY: Type.Optional(text('Its private key in PEM: RSA of 2048 bits, or ECDSA on P-256. Set CLOUDFRONT_PRIVATE_KEY_FILE to the path of its file instead.')),
  COMPLETE_WAIT_SECONDS: seconds('How long `complete` may keep a client waiting before it answers 202 and goes on by itself.', 20, 0, 60),
  SWEEP_INTERVAL_SECONDS: seconds('How often to look for uploads whose client vanished and for objects to delete. 0 is never: run `presignd sweep` by a scheduler then.', 30, 0, 3600),
  EVENTS_TOKEN: Type.Optional(text('The secret that notifications of the bucket carry to /events/s3, at least 32 bytes. They are not taken when unset.')),
  EVENTS_SNS_TOPIC_ARNS: Type.Optional(text('The ARNs of the SNS topics whose signed messages are taken at /events/s3, with commas between. None when unset.')),
  WEBHOOK_DELIVERY: flag('Deliver the webhooks of the policies file. With `false`, run `presignd webhooks deliver` by a scheduler.', true),
  RATE_LIMIT_ADDRESS_PER_MINUTE: Type.Integer({ description: 'Requests a minute from one address before the token is looked at; 0 is no limit.', default: 1200, minimum: 0 }),
  RATE_LIMIT_USER_PER_MINUTE: Type.Integer({ description: 'Requests a minute by one user; 0 is no limit.', default: 600, minimum: 0 }),
  RATE_LIMIT_PARTS_PER_MINUTE: Type.Integer({ description: 'Requests a minute for the URLs of parts by one user of an Uppy client, twice as many from one address; 0 is no limit.', default: 6000, minimum: 0 }),
  UPPY_COOKIE: Type.Optional(text('The cookie that may hold the token on the addresses for Uppy, for pages of the same origin or of CORS_ORIGINS. None when unset.')),
  REDIS_URL: Type.Optional(text('`redis://…` or `rediss://…`: where several processes count rate limits together. Each counts by itself when unset.')),
  AUDIT_LOG: Type.Optional(text('Where who did what to which file is written, one JSON object a line: the path of a file, or `stdout`. Nowhere when unset.')),
  METRICS_PORT: Type.Optional(Type.Integer({ description: 'The port that Prometheus scrapes, at /metrics; 0 takes any free one. There are no metrics when unset. Whoever reaches it may read it.', minimum: 0, maximum: 65535 })),
  DOCS_UI: flag('Show the API under /docs.', false),
  LOG_LEVEL: StringEnum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], { description: 'fatal, error, warn, info, debug, trace or silent.', default: 'info' }),
  SHUTDOWN_DRAIN_SECONDS: seconds('How long requests are still served after SIGTERM, so that a load balancer notices.', 5, 0, 60)
})
export type Environment = Static<typeof Environment>
