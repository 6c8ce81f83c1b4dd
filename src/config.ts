import { readFileSync } from 'node:fs'
import { checkAddressRange, checkCloudFront, checkCookieName, checkDatabaseUrl, checkOrigin, checkRedisUrl, checkSecret, checkSecureUrl, checkTopicArn, checkTracing, checkUrl, list } from './config-rules.js'
import { Environment } from './environment.js'
import type { CloudFrontOptions } from './object-storage/cloudfront.js'
import { PROVIDER_ABILITIES, type Provider, type StoreAbilities } from './object-storage/providers.js'
import type { SignerName } from './object-storage/signer.js'
import { builtAhead, rulesAjv } from './rules.js'

/** An unsafe or impossible configuration. Each problem is one line that names the variable and the rule. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  constructor (readonly problems: readonly string[]) {
    super(problems.join('\n'))
  }
}

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
    readonly signer: SignerName
  } & StoreAbilities
  readonly jwt: JwtConfig
  readonly corsOrigins: readonly string[]
  readonly trustProxy: readonly string[]
  readonly uploadUrlTtlSeconds: number
  readonly downloadUrlTtlSeconds: number
  /** The distribution that downloads go through, where they do. */
  readonly cloudFront?: CloudFrontOptions
  readonly completeWaitSeconds: number
  readonly sweepIntervalSeconds: number
  readonly rateLimits: { readonly addressPerMinute: number, readonly userPerMinute: number, readonly partsPerMinute: number, readonly redisUrl?: string }
  readonly uppyCookie?: string
  readonly auditLog?: string
  readonly metricsPort?: number
  /** How spans are sent, where they are. */
  readonly tracing?: { readonly protocol: 'http/protobuf' | 'http/json' }
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

/**
 * Reads, checks and freezes the whole configuration.
 * @throws {ConfigError} with every problem at once
 */
export function loadConfig (env: Readonly<Record<string, string | undefined>>): Config {
  const problems: string[] = []
  const given = readVariables(env, problems)
  // From source, of those that are there: each test would compile the rules of all sixty otherwise.
  const validate = builtAhead('environment') ?? rulesAjv({ coerceTypes: true }).compile(environmentRules(Object.keys(given)))
  if (!validate(given)) {
    for (const error of validate.errors ?? []) {
      const name = error.params['missingProperty'] ?? error.instancePath.slice(1)
      if (error.keyword === 'required') problems.push(`${name} is not set: ${Environment.properties[name as keyof Environment].description}`)
      else if (error.keyword === 'enum') problems.push(`${name} must be one of ${error.params['allowedValues'].join(', ')}`)
      else problems.push(`${name} ${error.message}`)
    }
    throw new ConfigError(problems)
  }
  const environment = { ...DEFAULTS, ...given } as unknown as Environment
  const abilities = storeAbilities(environment)
  if (environment.S3_SIGNER === 'sdk' && !abilities.checksums) problems.push('S3_SIGNER must be built-in where the S3 server keeps no checksums (S3_PROVIDER, S3_CHECKSUMS): the signer of the AWS SDK cannot bind the hash of a body, which does it there')
  const tracing = checkTracing(env, problems)
  const cloudFront = checkCloudFront(environment, problems)
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
      signer: environment.S3_SIGNER,
      ...abilities
    },
    jwt: jwtConfig(environment, problems),
    corsOrigins: list(environment.CORS_ORIGINS).map(origin => checkOrigin(origin, problems)),
    trustProxy: list(environment.TRUST_PROXY).map(range => checkAddressRange(range, problems)),
    uploadUrlTtlSeconds: environment.UPLOAD_URL_TTL_SECONDS,
    downloadUrlTtlSeconds: environment.DOWNLOAD_URL_TTL_SECONDS,
    ...(cloudFront && { cloudFront }),
    completeWaitSeconds: environment.COMPLETE_WAIT_SECONDS,
    sweepIntervalSeconds: environment.SWEEP_INTERVAL_SECONDS,
    rateLimits: { addressPerMinute: environment.RATE_LIMIT_ADDRESS_PER_MINUTE, userPerMinute: environment.RATE_LIMIT_USER_PER_MINUTE, partsPerMinute: environment.RATE_LIMIT_PARTS_PER_MINUTE, ...(environment.REDIS_URL && { redisUrl: checkRedisUrl(environment.REDIS_URL, problems) }) },
    ...(environment.UPPY_COOKIE && { uppyCookie: checkCookieName('UPPY_COOKIE', environment.UPPY_COOKIE, problems) }),
    ...(environment.AUDIT_LOG !== undefined && { auditLog: environment.AUDIT_LOG }),
    ...(environment.METRICS_PORT !== undefined && { metricsPort: environment.METRICS_PORT }),
    ...(tracing && { tracing }),
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

const DEFAULTS = Object.fromEntries(Object.entries(Environment.properties).map(([name, schema]) => [name, schema.default as unknown]))
const REQUIRED = (Environment.required ?? []).filter(name => DEFAULTS[name] === undefined)

/** What is expected of variables, of all of them or of some. */
export function environmentRules (names: readonly string[] = Object.keys(Environment.properties)): object {
  return { type: 'object', properties: Object.fromEntries(names.map(name => [name, Environment.properties[name as keyof Environment]])), required: REQUIRED }
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
