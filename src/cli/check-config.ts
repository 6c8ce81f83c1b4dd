import { ConfigError, loadConfig, type Config } from '../config.js'
import { Environment } from '../environment.js'
import { loadPolicies, PolicyFileError } from '../policies/load-policies.js'

type Env = Readonly<Record<string, string | undefined>>

const FIT = 0
const UNFIT = 1

const SECRET = '[secret]'
/** Secrets as a whole, and addresses that may hold one. */
const SECRETS = new Set(['JWT_SECRET', 'EVENTS_TOKEN', 'CLOUDFRONT_PRIVATE_KEY'])
const ADDRESSES = new Set(['DATABASE_URL', 'REDIS_URL'])
/** What only our variables begin with: another name with one of these is a slip. */
const OWN_PREFIXES = ['S3_', 'JWT_', 'RATE_LIMIT_', 'UPLOAD_URL_', 'DOWNLOAD_', 'CLOUDFRONT_', 'EVENTS_', 'WEBHOOK_', 'SHUTDOWN_DRAIN_', 'SWEEP_']

/**
 * Prints every variable with its value, secrets left out, and every policy as it is understood; or all that is wrong
 * with them at once. Asks neither the database nor the store: that is what `presignd doctor` does.
 * @returns the exit code: 0 when the service would start with this, 1 when not
 */
export function checkConfig (env: Env): number {
  const problems = findUnknown(env)
  const collect = <T>(run: () => T): T | undefined => {
    try {
      return run()
    } catch (error) {
      if (!(error instanceof ConfigError || error instanceof PolicyFileError)) throw error
      problems.push(...error.problems)
      return undefined
    }
  }
  const config = collect(() => loadConfig(env))
  // The policies are looked at also when a variable is wrong, so that nobody has to come back for them.
  const policySet = collect(() => loadPolicies(env['POLICIES_FILE'] || Environment.properties.POLICIES_FILE.default as string, config ?? standIn(env)))
  if (config && policySet && problems.length === 0) {
    process.stdout.write(`${JSON.stringify({ variables: describeVariables(env), policies: Object.fromEntries([...policySet.policies].map(([name, policy]) => [name, { ...policy, requiredClaims: Object.fromEntries(policy.requiredClaims) }])) }, null, 2)}\n`)
    for (const warning of config.warnings) process.stderr.write(`presignd: ${warning}\n`)
    return FIT
  }
  for (const problem of new Set(problems)) process.stderr.write(`presignd: ${problem}\n`)
  return UNFIT
}

/** What Kubernetes gives every container of a service by the name of `s3` or `events`: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables */
const OF_KUBERNETES = /_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$/

function findUnknown (env: Env): string[] {
  const known = new Set(Object.keys(Environment.properties).flatMap(name => [name, `${name}_FILE`]))
  return Object.keys(env).filter(name => env[name] && !known.has(name) && !OF_KUBERNETES.test(name) && OWN_PREFIXES.some(prefix => name.startsWith(prefix)))
    .map(name => `${name} is not a variable of this service: .env.example has those that are`)
}

/** Enough to read the policies by. */
function standIn (env: Env): Pick<Config, 'uploadUrlTtlSeconds' | 'downloadUrlTtlSeconds' | 'variable'> {
  const { UPLOAD_URL_TTL_SECONDS: upload, DOWNLOAD_URL_TTL_SECONDS: download } = Environment.properties
  return { uploadUrlTtlSeconds: upload.default as number, downloadUrlTtlSeconds: download.default as number, variable: name => env[name] ?? env[`${name}_FILE`] }
}

function describeVariables (env: Env): Record<string, unknown> {
  return Object.fromEntries(Object.entries(Environment.properties).map(([name, schema]) => {
    const value = env[name] || undefined
    if (SECRETS.has(name) && value !== undefined) return [name, SECRET]
    if (ADDRESSES.has(name) && value !== undefined) return [name, withoutPassword(value)]
    return [name, value ?? (env[`${name}_FILE`] ? `[from ${env[`${name}_FILE`]}]` : schema.default ?? null)]
  }))
}

/** The password of `user:password@`, which the last `@` before the path ends, and those among the parameters. */
function withoutPassword (address: string): string {
  if (address.startsWith('sqlite:')) return address
  if (!URL.canParse(address)) return SECRET
  return address.replace(/^([a-z+]+:\/\/[^/?#:]*:)[^/?#]*@/i, `$1${SECRET}@`).replace(/([?&][^=&#]*pass[^=&#]*=)[^&#]*/gi, `$1${SECRET}`)
}
