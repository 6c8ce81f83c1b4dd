import { readFileSync } from 'node:fs'
import { Type, type Static } from '@sinclair/typebox'
import { Ajv } from 'ajv'
import { checkAddressRange, checkCookieName, checkDatabaseUrl, checkOrigin, checkRedisUrl, checkSecret, checkSecureUrl, checkTopicArn, checkUrl, list } from './config-rules.js'
import { PROVIDER_ABILITIES, PROVIDERS, type Provider, type StoreAbilities } from './object-storage/providers.js'
import { StringEnum } from './string-enum.js'

/** An unsafe or impossible configuration. Each problem is one line that names the variable and the rule. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  constructor (readonly problems: readonly string[]) {
    super(problems.join('\n'))
  }
}

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

export interface Config {
  readonly host: string
  readonly port: number
  readonly database: { readonly url: string, readonly migrateAtStart: boolean }
  readonly policiesFile: string
  readonly s3: {
    readonly bucket: string
    readonly region: string
    readonly endpoint?: string
    readonly publicEndpoint?: string
    readonly forcePathStyle: boolean
    readonly provider: Provider
  } & StoreAbilities
  readonly jwt: JwtConfig
  readonly corsOrigins: readonly string[]
  readonly trustProxy: readonly string[]
  readonly uploadUrlTtlSeconds: number
  readonly downloadUrlTtlSeconds: number
  readonly completeWaitSeconds: number
  readonly sweepIntervalSeconds: number
  readonly rateLimits: { readonly addressPerMinute: number, readonly userPerMinute: number, readonly partsPerMinute: number, readonly redisUrl?: string }
  readonly uppyCookie?: string
  readonly auditLog?: string
  readonly metricsPort?: number
  readonly docsUi: boolean
  readonly logLevel: string
  readonly shutdownDrainSeconds: number
  readonly webhookDelivery: boolean
  readonly bucketEvents: { readonly token?: string, readonly snsTopicArns: readonly string[] }
  /**
   * The value of a variable that the policies file names, or of the file that NAME_FILE names.
   * @throws {ConfigError}
   */
  readonly variable: (name: string) => string | undefined
  /** What is allowed but worth a warning in the log at start. */
  readonly warnings: readonly string[]
}

export interface JwtConfig {
  /** Either a shared secret, or public keys found at a JWKS or through the issuer's discovery document. */
  readonly keys: { readonly secret: string } | { readonly issuer: string, readonly jwksUrl?: string }
  readonly issuer?: string
  /** Undefined accepts every audience. */
  readonly audiences?: readonly string[]
  readonly audienceClaim: string
  readonly ownerClaim: string
  readonly scopeClaim: string
  readonly tenantClaim?: string
  readonly clockToleranceSeconds: number
}

const validateEnvironment = new Ajv({ allErrors: true, useDefaults: true, coerceTypes: true }).compile(Environment)

/**
 * Reads, checks and freezes the whole configuration.
 * @throws {ConfigError} with every problem at once
 */
export function loadConfig (env: Readonly<Record<string, string | undefined>>): Config {
  const problems: string[] = []
  const given = readVariables(env, problems)
  if (!validateEnvironment(given)) {
    for (const error of validateEnvironment.errors ?? []) {
      const name = error.params['missingProperty'] ?? error.instancePath.slice(1)
      if (error.keyword === 'required') problems.push(`${name} is not set: ${Environment.properties[name as keyof Environment].description}`)
      else if (error.keyword === 'enum') problems.push(`${name} must be one of ${error.params['allowedValues'].join(', ')}`)
      else problems.push(`${name} ${error.message}`)
    }
    throw new ConfigError(problems)
  }
  const environment = given as unknown as Environment
  if (environment.METRICS_PORT === environment.PORT && environment.PORT !== 0) problems.push('METRICS_PORT must not be PORT: it is a port of its own, which users do not reach')
  const config: Config = {
    host: environment.HOST,
    port: environment.PORT,
    database: { url: checkDatabaseUrl(environment.DATABASE_URL, problems), migrateAtStart: environment.DATABASE_MIGRATE },
    policiesFile: environment.POLICIES_FILE,
    s3: {
      bucket: environment.S3_BUCKET,
      region: environment.S3_REGION,
      ...(environment.S3_ENDPOINT && { endpoint: checkUrl('S3_ENDPOINT', environment.S3_ENDPOINT, problems) }),
      ...(environment.S3_PUBLIC_ENDPOINT && { publicEndpoint: checkUrl('S3_PUBLIC_ENDPOINT', environment.S3_PUBLIC_ENDPOINT, problems) }),
      forcePathStyle: environment.S3_FORCE_PATH_STYLE,
      provider: environment.S3_PROVIDER,
      ...storeAbilities(environment)
    },
    jwt: jwtConfig(environment, problems),
    corsOrigins: list(environment.CORS_ORIGINS).map(origin => checkOrigin(origin, problems)),
    trustProxy: list(environment.TRUST_PROXY).map(range => checkAddressRange(range, problems)),
    uploadUrlTtlSeconds: environment.UPLOAD_URL_TTL_SECONDS,
    downloadUrlTtlSeconds: environment.DOWNLOAD_URL_TTL_SECONDS,
    completeWaitSeconds: environment.COMPLETE_WAIT_SECONDS,
    sweepIntervalSeconds: environment.SWEEP_INTERVAL_SECONDS,
    rateLimits: { addressPerMinute: environment.RATE_LIMIT_ADDRESS_PER_MINUTE, userPerMinute: environment.RATE_LIMIT_USER_PER_MINUTE, partsPerMinute: environment.RATE_LIMIT_PARTS_PER_MINUTE, ...(environment.REDIS_URL && { redisUrl: checkRedisUrl(environment.REDIS_URL, problems) }) },
    ...(environment.UPPY_COOKIE && { uppyCookie: checkCookieName('UPPY_COOKIE', environment.UPPY_COOKIE, problems) }),
    ...(environment.AUDIT_LOG !== undefined && { auditLog: environment.AUDIT_LOG }),
    ...(environment.METRICS_PORT !== undefined && { metricsPort: environment.METRICS_PORT }),
    docsUi: environment.DOCS_UI,
    logLevel: environment.LOG_LEVEL,
    shutdownDrainSeconds: environment.SHUTDOWN_DRAIN_SECONDS,
    webhookDelivery: environment.WEBHOOK_DELIVERY,
    bucketEvents: {
      ...(environment.EVENTS_TOKEN && { token: checkSecret('EVENTS_TOKEN', environment.EVENTS_TOKEN, problems) }),
      snsTopicArns: list(environment.EVENTS_SNS_TOPIC_ARNS).map(arn => checkTopicArn(arn, problems))
    },
    variable (name) {
      const problems: string[] = []
      const value = readVariable(env, name, problems)
      if (problems.length > 0) throw new ConfigError(problems)
      return value
    },
    warnings: environment.JWT_AUDIENCE === 'any'
      ? ['JWT_AUDIENCE is "any": a token made for another service is accepted here too']
      : []
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return freeze(config)
}

function readVariables (env: Readonly<Record<string, string | undefined>>, problems: string[]): Record<string, string> {
  const given: Record<string, string> = {}
  for (const name of Object.keys(Environment.properties)) {
    const value = readVariable(env, name, problems)
    if (value !== undefined) given[name] = value
  }
  return given
}

function readVariable (env: Readonly<Record<string, string | undefined>>, name: string, problems: string[]): string | undefined {
  const value = env[name]
  const file = env[`${name}_FILE`]
  if (value && file) problems.push(`${name} and ${name}_FILE are both set: keep one`)
  else if (value) return value
  else if (file) {
    try {
      return readFileSync(file, 'utf8').trim()
    } catch (error) {
      problems.push(`${name}_FILE cannot be read: ${(error as Error).message}`)
    }
  }
  return undefined
}

/** What the provider is known for, but for what is said of this server itself. */
function storeAbilities (environment: Environment): StoreAbilities {
  const known = PROVIDER_ABILITIES[environment.S3_PROVIDER]
  return {
    conditionalWrites: environment.S3_CONDITIONAL_WRITES ?? known.conditionalWrites,
    checksums: environment.S3_CHECKSUMS ?? known.checksums,
    postPolicies: environment.S3_POST_POLICIES ?? known.postPolicies,
    unequalParts: environment.S3_UNEQUAL_PARTS ?? known.unequalParts
  }
}

function jwtConfig (environment: Environment, problems: string[]): JwtConfig {
  const { JWT_SECRET: secret, JWT_JWKS_URL: jwksUrl, JWT_ISSUER: issuer } = environment
  if (secret && jwksUrl) problems.push('JWT_SECRET and JWT_JWKS_URL are both set: keep one, since tokens are signed with either a secret or a key pair')
  else if (!secret && !jwksUrl && !issuer) problems.push('JWT_SECRET is not set: set it, or JWT_ISSUER (OIDC discovery), or JWT_JWKS_URL with JWT_ISSUER')
  else if (jwksUrl && !issuer) problems.push('JWT_ISSUER is not set: it is required with JWT_JWKS_URL')
  if (secret) checkSecret('JWT_SECRET', secret, problems)
  if (jwksUrl) checkSecureUrl('JWT_JWKS_URL', jwksUrl, problems)
  if (issuer && !secret) checkSecureUrl('JWT_ISSUER', issuer, problems)
  const audiences = list(environment.JWT_AUDIENCE)
  if (audiences.length === 0) problems.push('JWT_AUDIENCE must name an audience, or be "any"')
  return {
    keys: secret ? { secret } : { issuer: issuer ?? '', ...(jwksUrl && { jwksUrl }) },
    ...(issuer && { issuer }),
    ...(environment.JWT_AUDIENCE !== 'any' && { audiences }),
    audienceClaim: environment.JWT_AUDIENCE_CLAIM,
    ownerClaim: environment.JWT_OWNER_CLAIM,
    scopeClaim: environment.JWT_SCOPE_CLAIM,
    ...(environment.JWT_TENANT_CLAIM && { tenantClaim: environment.JWT_TENANT_CLAIM }),
    clockToleranceSeconds: environment.JWT_CLOCK_TOLERANCE_SECONDS
  }
}

function freeze<T extends object> (value: T): T {
  for (const child of Object.values(value)) if (typeof child === 'object' && child !== null) freeze(child)
  return Object.freeze(value)
}
