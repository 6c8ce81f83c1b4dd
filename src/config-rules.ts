import { createPrivateKey, type KeyObject } from 'node:crypto'
import { BlockList, isIP } from 'node:net'

// The rules that a schema cannot say. Each adds one line to `problems`, which names the variable and the rule.

export function list (value = ''): string[] {
  return value.split(',').map(item => item.trim()).filter(item => item !== '')
}

export function checkUrl (name: string, value: string, problems: string[]): string {
  const url = parseUrl(value)
  if (!url || !['http:', 'https:'].includes(url.protocol)) problems.push(`${name} must be an http or https URL`)
  else if (url.username || url.password || url.search || url.hash) problems.push(`${name} must not hold credentials, a query or a fragment`)
  return value
}

/** Keys that arrive over plain http can be swapped on the way; loopback has no way. */
export function checkSecureUrl (name: string, value: string, problems: string[]): void {
  if (!isSecure(value)) problems.push(`${name} must be an https URL`)
}

function isSecure (value: string): boolean {
  const url = parseUrl(value)
  const isLoopback = url && ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname)
  return url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback === true)
}

const CLOUDFRONT_NAMES = ['CLOUDFRONT_URL', 'CLOUDFRONT_KEY_PAIR_ID', 'CLOUDFRONT_PRIVATE_KEY'] as const
type CloudFrontVariables = { readonly DOWNLOAD_SIGNER: string } & { readonly [Name in typeof CLOUDFRONT_NAMES[number]]?: string }

/** All of the variables for CloudFront, or none. */
export function checkCloudFront (variables: CloudFrontVariables, problems: string[]): { url: string, keyPairId: string, privateKey: string } | null {
  const isOn = variables.DOWNLOAD_SIGNER === 'cloudfront'
  for (const name of CLOUDFRONT_NAMES) {
    if (isOn && !variables[name]) problems.push(`${name} is not set: DOWNLOAD_SIGNER=cloudfront needs it`)
    if (!isOn && variables[name]) problems.push(`${name} is set without DOWNLOAD_SIGNER=cloudfront: set both, or neither`)
  }
  const { CLOUDFRONT_URL: url, CLOUDFRONT_KEY_PAIR_ID: keyPairId, CLOUDFRONT_PRIVATE_KEY: privateKey } = variables
  if (!isOn || !url || !keyPairId || !privateKey) return null
  if (!isSecure(url) || parseUrl(url)?.origin !== url) problems.push('CLOUDFRONT_URL must be an https origin like https://d111111abcdef8.cloudfront.net (no path, no trailing slash)')
  if (!/^[A-Z0-9]{10,32}$/.test(keyPairId)) problems.push('CLOUDFRONT_KEY_PAIR_ID must be the id of a public key like K2JCJMDEHXQW5F')
  const key = parsePrivateKey(privateKey)
  if (!key) problems.push('CLOUDFRONT_PRIVATE_KEY must be a private key in PEM, without a passphrase')
  else if (!isForCloudFront(key)) problems.push('CLOUDFRONT_PRIVATE_KEY must be RSA of 2048 bits, or ECDSA on P-256: CloudFront takes no other')
  return { url, keyPairId, privateKey }
}

/** @see https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_PublicKey.html */
function isForCloudFront ({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  return (asymmetricKeyType === 'rsa' && asymmetricKeyDetails?.modulusLength === 2048) || (asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === 'prime256v1')
}

function parsePrivateKey (pem: string): KeyObject | null {
  try {
    return createPrivateKey(pem)
  } catch {
    return null
  }
}

export function checkOrigin (value: string, problems: string[]): string {
  if (value === '*') problems.push('CORS_ORIGINS must list origins: "*" would let every page on the web use a visitor\'s token')
  else if (parseUrl(value)?.origin !== value) problems.push(`CORS_ORIGINS: "${value}" is not an origin like https://app.example.com (no path, no trailing slash)`)
  return value
}

/** Shorter than the hash's own length weakens HS256 (RFC 7518 section 3.2); the same measure for secrets that are compared. */
const MIN_SECRET_BYTES = 32

export function checkSecret (name: string, value: string, problems: string[]): string {
  const bytes = Buffer.byteLength(value)
  if (bytes < MIN_SECRET_BYTES) problems.push(`${name} must be at least ${MIN_SECRET_BYTES} bytes long (it has ${bytes}): make one with "openssl rand -base64 48"`)
  return value
}

/** FIFO topics send to no web address: https://docs.aws.amazon.com/sns/latest/dg/fifo-topic-code-examples.html */
export function checkTopicArn (value: string, problems: string[]): string {
  if (!/^arn:aws(-[a-z]+)*:sns:[a-z]{2}(-[a-z]+)+-\d:\d{12}:[A-Za-z0-9_-]{1,256}$/.test(value)) problems.push(`EVENTS_SNS_TOPIC_ARNS: "${value}" is not the ARN of a topic like arn:aws:sns:eu-central-1:123456789012:uploads`)
  return value
}

export function checkAddressRange (value: string, problems: string[]): string {
  const [address = '', prefix, ...rest] = value.split('/')
  const version = isIP(address)
  const bits = Number(prefix)
  const isPrefix = prefix === undefined || (/^\d{1,3}$/.test(prefix) && bits > 0 && bits <= (version === 4 ? 32 : 128))
  if (version === 0 || !isPrefix || rest.length > 0) {
    problems.push(`TRUST_PROXY: "${value}" is not an IP address or CIDR range like 10.0.0.0/8 (and /0 would trust everyone)`)
  } else if (version === 6 && prefix !== undefined && includesAllOfIpv4(address, bits)) {
    problems.push(`TRUST_PROXY: "${value}" would trust every IPv4 address: they count as ::ffff:0:0/96`)
  }
  return value
}

function includesAllOfIpv4 (address: string, bits: number): boolean {
  if (bits > 96) return false
  const range = new BlockList()
  range.addSubnet(address, bits, 'ipv6')
  return range.check('::ffff:0:0', 'ipv6')
}

/** A token of RFC 6265 section 4.1.1. */
export function checkCookieName (name: string, value: string, problems: string[]): string {
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(value)) problems.push(`${name} must be the name of a cookie, without spaces, "=" or ";"`)
  return value
}

export function checkDatabaseUrl (value: string, problems: string[]): string {
  if (!/^(sqlite:.|postgres(ql)?:\/\/.)/.test(value)) problems.push('DATABASE_URL must begin with "sqlite:" and a path, or be a postgres:// URL')
  else if (!value.startsWith('sqlite:') && !URL.canParse(value)) problems.push('DATABASE_URL is no URL: in user and password, "@", ":", "/", "?", "#" and "%" are written as %40, %3A, %2F, %3F, %23 and %25')
  return value
}

export function checkRedisUrl (value: string, problems: string[]): string {
  if (!['redis:', 'rediss:'].includes(parseUrl(value)?.protocol ?? '')) problems.push('REDIS_URL must be a redis:// or rediss:// URL')
  return value
}

const PROTOCOLS = ['http/protobuf', 'http/json'] as const

/**
 * Spans are sent where the variables of OpenTelemetry ask for it, which are not ours: they are only looked at here.
 * @see https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 */
export function checkTracing (env: Readonly<Record<string, string | undefined>>, problems: string[]): { protocol: typeof PROTOCOLS[number] } | null {
  const endpoints = ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'].filter(name => env[name])
  const exporter = env['OTEL_TRACES_EXPORTER'] || (endpoints.length > 0 ? 'otlp' : 'none')
  if (env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true' || exporter === 'none') return null
  if (exporter !== 'otlp') problems.push('OTEL_TRACES_EXPORTER must be otlp or none: no other exporter is built in')
  for (const name of endpoints) {
    if (!['http:', 'https:'].includes(parseUrl(env[name] ?? '')?.protocol ?? '')) problems.push(`${name} must be an http or https URL`)
  }
  const name = env['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL'] ? 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL' : 'OTEL_EXPORTER_OTLP_PROTOCOL'
  const protocol = PROTOCOLS.find(known => known === (env[name] || 'http/protobuf'))
  if (!protocol) problems.push(`${name} must be one of ${PROTOCOLS.join(', ')}`)
  return { protocol: protocol ?? 'http/protobuf' }
}

function parseUrl (value: string): URL | null {
  try {
    return new URL(value)
  } catch {
    return null
  }
}
