import { readFileSync } from 'node:fs'
import { Type } from '@sinclair/typebox'
import { parse } from 'yaml'
import { MAX_MULTIPART_BYTES, MAX_SINGLE_BYTES, MIN_PART_BYTES } from './choose-method.js'
import { findKeyTemplateProblem } from './object-key.js'
import { BucketEntry, PolicyEntry, type Policies, type Policy } from './policy.js'
import { loadEndpoint } from '../webhooks/load-endpoints.js'
import { builtAhead, rulesAjv } from '../rules.js'
import { WebhookEntry, type WebhookEndpoint } from '../webhooks/webhook-endpoint.js'

/** A policies file that cannot be used; each problem is one line that names the file, the policy and the field. */
export class PolicyFileError extends Error {
  override readonly name = 'PolicyFileError'
  constructor (readonly problems: readonly string[]) {
    super(problems.join('\n'))
  }
}

export interface PolicyDefaults {
  readonly uploadUrlTtlSeconds: number
  readonly downloadUrlTtlSeconds: number
  /** The value of a variable that the file names; none when left out. */
  readonly variable?: (name: string) => string | undefined
  /** Where files go, and what it can do; everything when left out. */
  readonly s3?: { readonly bucket: string, readonly provider: string, readonly postPolicies: boolean, readonly checksums: boolean }
}

const Name = Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,63}$' })
const OPTIONAL_SECTIONS = {
  buckets: Type.Optional(Type.Record(Name, BucketEntry, { additionalProperties: false })),
  webhooks: Type.Optional(Type.Record(Name, WebhookEntry, { additionalProperties: false }))
}
const PolicyEntries = Type.Record(Name, PolicyEntry, { minProperties: 1, additionalProperties: false })

/** Under this size parts cost more requests than they save. */
const DEFAULT_MULTIPART_THRESHOLD_BYTES = 100 * 1024 ** 2
const DEFAULT_PART_SIZE_BYTES = 16 * 1024 ** 2

const UNIT_BYTES = new Map([
  ['B', 1], ['kB', 1e3], ['MB', 1e6], ['GB', 1e9], ['TB', 1e12],
  ['KiB', 1024], ['MiB', 1024 ** 2], ['GiB', 1024 ** 3], ['TiB', 1024 ** 4]
])

/** What one entry of each section is. */
const SECTIONS = new Map([['buckets', 'bucket'], ['webhooks', 'webhook']])

/** What the policies file says. */
export interface PolicySet {
  readonly policies: Policies
  /** By the name that policies use. */
  readonly buckets: ReadonlyMap<string, BucketEntry>
  readonly webhooks: readonly WebhookEndpoint[]
}

/** @throws {PolicyFileError} */
export function loadPolicies (path: string, defaults: PolicyDefaults): PolicySet {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new PolicyFileError([`POLICIES_FILE: ${(error as Error).message}; copy policies.example.yaml to begin with`])
  }
  return parsePolicies(text, path, defaults)
}

/**
 * @param path only names the file in errors
 * @throws {PolicyFileError}
 */
export function parsePolicies (text: string, path: string, defaults: PolicyDefaults): PolicySet {
  let content: unknown
  try {
    content = parse(text, { maxAliasCount: 100 })
  } catch (error) {
    throw new PolicyFileError([`${path}: ${(error as Error).message.split('\n')[0]}`])
  }
  // From source, of the sections that are there.
  const validate = builtAhead('policies') ?? rulesAjv().compile(policyFileRules(Object.keys(Object(content))))
  if (!validate(content)) {
    throw new PolicyFileError((validate.errors ?? []).map(error => {
      const [, section = 'policies', name, ...field] = error.instancePath.split('/')
      const unknown = error.params['additionalProperty'] as string | undefined
      const place = name === undefined ? path : `${path}: ${SECTIONS.get(section) ?? 'policy'} ${name}${field.length > 0 ? `, ${field.join('.')}` : ''}`
      return `${place}: ${unknown === undefined ? error.message : `"${unknown}" is not known or not well named`}`
    }))
  }
  const { policies, ...rest } = content as { policies: Record<string, PolicyEntry>, buckets?: Record<string, BucketEntry>, webhooks?: Record<string, WebhookEntry> }
  const buckets = new Map(Object.entries(rest.buckets ?? {}))
  const problems = [...findSharedBuckets(buckets, defaults.s3?.bucket)].map(([name, problem]) => `${path}: bucket ${name}, bucket: ${problem}`)
  const loaded = new Map<string, Policy>()
  for (const [name, entry] of Object.entries(policies)) {
    const policy = toPolicy(name, entry, defaults)
    for (const [field, problem] of findProblems(policy, buckets, defaults.s3)) problems.push(`${path}: policy ${name}, ${field}: ${problem}`)
    loaded.set(name, Object.freeze(policy))
  }
  const webhooks = Object.entries(rest.webhooks ?? {}).map(([name, entry]) => {
    const found: Array<[field: string, problem: string]> = []
    const endpoint = loadEndpoint(name, entry, { policyNames: new Set(loaded.keys()), variable: defaults.variable ?? (() => undefined) }, found)
    for (const [field, problem] of found) problems.push(`${path}: webhook ${name}, ${field}: ${problem}`)
    return endpoint
  })
  if (problems.length > 0) throw new PolicyFileError(problems)
  return { policies: loaded, buckets, webhooks }
}

/** What is expected of a policies file that may have all sections, or these. */
export function policyFileRules (names: readonly string[] = Object.keys(OPTIONAL_SECTIONS)): object {
  const sections = Object.entries(OPTIONAL_SECTIONS).filter(([name]) => names.includes(name))
  return Type.Object({ policies: PolicyEntries, ...Object.fromEntries(sections) }, { additionalProperties: false })
}

/** Sizes as people write them: a number of bytes, or a number with a unit like `10MiB`. */
export function parseSizeBytes (size: number | string): number {
  if (typeof size === 'number') return size
  const [, number, unit] = /^([\d.]+)\s*(\w+)$/.exec(size) ?? []
  return Math.floor(Number(number) * (UNIT_BYTES.get(unit ?? '') ?? NaN))
}

function toPolicy (name: string, entry: PolicyEntry, defaults: PolicyDefaults): Policy {
  return {
    name,
    contentTypes: entry.contentTypes,
    minSizeBytes: parseSizeBytes(entry.minSize ?? 0),
    maxSizeBytes: parseSizeBytes(entry.maxSize),
    keyTemplate: entry.key,
    visibility: entry.visibility ?? 'private',
    requiredScopes: entry.require?.scopes ?? [],
    requiredClaims: new Map(Object.entries(entry.require?.claims ?? {})),
    methods: entry.methods ?? ['PUT', 'multipart'],
    multipartThresholdBytes: parseSizeBytes(entry.multipart?.threshold ?? DEFAULT_MULTIPART_THRESHOLD_BYTES),
    partSizeBytes: parseSizeBytes(entry.multipart?.partSize ?? DEFAULT_PART_SIZE_BYTES),
    quota: {
      ...(entry.quota?.files !== undefined && { files: entry.quota.files }),
      ...(entry.quota?.bytes !== undefined && { bytes: parseSizeBytes(entry.quota.bytes) }),
      ...(entry.quota?.pending !== undefined && { pending: entry.quota.pending })
    },
    bucket: entry.bucket ?? null,
    retentionDays: entry.retentionDays ?? null,
    scan: entry.scan ? { deadlineSeconds: entry.scan.deadlineSeconds, onDeadline: entry.scan.onDeadline ?? 'hold' } : null,
    presignedDelete: entry.presignedDelete ?? false,
    uploadUrlTtlSeconds: entry.uploadUrlTtlSeconds ?? defaults.uploadUrlTtlSeconds,
    downloadUrlTtlSeconds: entry.downloadUrlTtlSeconds ?? defaults.downloadUrlTtlSeconds,
    verifyContentType: entry.verify?.contentType ?? true,
    checksumRequired: entry.verify?.checksum === 'required',
    disposition: entry.disposition ?? 'attachment'
  }
}

/** Files know their bucket by its name in S3 alone, and so do stores. */
function * findSharedBuckets (buckets: PolicySet['buckets'], main: string | undefined): Generator<[name: string, problem: string]> {
  const names = new Map(main === undefined ? [] : [[main, 'S3_BUCKET, where policies go that name no bucket']])
  for (const [name, { bucket }] of buckets) {
    const other = names.get(bucket)
    if (other === undefined) names.set(bucket, `bucket ${name}`)
    else yield [name, `"${bucket}" is that of ${other}, too; a name in S3 may be given once, wherever the bucket is`]
  }
}

function * findProblems (policy: Policy, buckets: ReadonlyMap<string, BucketEntry>, s3: PolicyDefaults['s3']): Generator<[field: string, problem: string]> {
  const keyProblem = findKeyTemplateProblem(policy.keyTemplate)
  if (keyProblem) yield ['key', keyProblem]
  if (policy.minSizeBytes > policy.maxSizeBytes) yield ['minSize', 'it is above maxSize']
  const most = policy.methods.includes('multipart') ? MAX_MULTIPART_BYTES : MAX_SINGLE_BYTES
  if (policy.maxSizeBytes > most) yield ['maxSize', `S3 takes at most ${most / 1024 ** 3}GiB by ${policy.methods.join(', ')}`]
  if (policy.methods.includes('multipart') && policy.checksumRequired) yield ['verify.checksum', 'S3 has no SHA-256 of a file that goes up in parts: leave multipart out of methods']
  if (policy.partSizeBytes < MIN_PART_BYTES || policy.partSizeBytes > MAX_SINGLE_BYTES) yield ['multipart.partSize', 'S3 takes parts of 5MiB to 5GiB']
  if (s3 && policy.methods.includes('POST')) {
    if (!s3.postPolicies) yield ['methods', `the store takes no forms (S3_PROVIDER=${s3.provider}): leave POST out, or set S3_POST_POLICIES=true if presignd doctor says that it does`]
    else if (policy.checksumRequired && !s3.checksums) yield ['verify.checksum', `the store compares no checksum of a form (S3_PROVIDER=${s3.provider}): leave POST out of methods, or set S3_CHECKSUMS=true if presignd doctor says that it does`]
  }
  if (policy.bucket !== null && !buckets.has(policy.bucket)) yield ['bucket', `there is no bucket "${policy.bucket}" under buckets`]
}
