import { readFileSync } from 'node:fs'
import { Type } from '@sinclair/typebox'
import { Ajv } from 'ajv'
import { parse } from 'yaml'
import { findKeyTemplateProblem } from './object-key.js'
import { PolicyEntry, type Policies, type Policy } from './policy.js'

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
}

const PolicyFile = Type.Object({
  policies: Type.Record(Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,63}$' }), PolicyEntry, { minProperties: 1, additionalProperties: false })
}, { additionalProperties: false })

const validateFile = new Ajv({ allErrors: true, allowUnionTypes: true }).compile(PolicyFile)

/** S3's limit for one PUT: https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html */
const MAX_PUT_BYTES = 5 * 1024 ** 3

const UNIT_BYTES = new Map([
  ['B', 1], ['kB', 1e3], ['MB', 1e6], ['GB', 1e9], ['TB', 1e12],
  ['KiB', 1024], ['MiB', 1024 ** 2], ['GiB', 1024 ** 3], ['TiB', 1024 ** 4]
])

/** @throws {PolicyFileError} */
export function loadPolicies (path: string, defaults: PolicyDefaults): Policies {
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
export function parsePolicies (text: string, path: string, defaults: PolicyDefaults): Policies {
  let content: unknown
  try {
    content = parse(text, { maxAliasCount: 100 })
  } catch (error) {
    throw new PolicyFileError([`${path}: ${(error as Error).message.split('\n')[0]}`])
  }
  if (!validateFile(content)) {
    throw new PolicyFileError((validateFile.errors ?? []).map(error => {
      const [, , name, ...field] = error.instancePath.split('/')
      const unknown = error.params['additionalProperty'] as string | undefined
      const place = name === undefined ? path : `${path}: policy ${name}${field.length > 0 ? `, ${field.join('.')}` : ''}`
      return `${place}: ${unknown === undefined ? error.message : `"${unknown}" is not known or not well named`}`
    }))
  }
  const { policies } = content as { policies: Record<string, PolicyEntry> }
  const problems: string[] = []
  const loaded = new Map<string, Policy>()
  for (const [name, entry] of Object.entries(policies)) {
    const policy = toPolicy(name, entry, defaults)
    for (const [field, problem] of findProblems(policy)) problems.push(`${path}: policy ${name}, ${field}: ${problem}`)
    loaded.set(name, Object.freeze(policy))
  }
  if (problems.length > 0) throw new PolicyFileError(problems)
  return loaded
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
    methods: entry.methods ?? ['PUT'],
    uploadUrlTtlSeconds: entry.uploadUrlTtlSeconds ?? defaults.uploadUrlTtlSeconds,
    downloadUrlTtlSeconds: entry.downloadUrlTtlSeconds ?? defaults.downloadUrlTtlSeconds,
    verifyContentType: entry.verify?.contentType ?? true,
    checksumRequired: entry.verify?.checksum === 'required',
    disposition: entry.disposition ?? 'attachment'
  }
}

function * findProblems (policy: Policy): Generator<[field: string, problem: string]> {
  const keyProblem = findKeyTemplateProblem(policy.keyTemplate)
  if (keyProblem) yield ['key', keyProblem]
  if (policy.minSizeBytes > policy.maxSizeBytes) yield ['minSize', 'it is above maxSize']
  if (policy.maxSizeBytes > MAX_PUT_BYTES) yield ['maxSize', 'a single PUT takes at most 5GiB']
}
