import { randomBytes } from 'node:crypto'
import type { Config } from '../config.js'
import { createBucketSettings, type BucketSettings } from '../object-storage/bucket-settings.js'
import type { ObjectLocation, ObjectStorage, PresignPut } from '../object-storage/object-storage.js'
import type { StoreAbilities } from '../object-storage/providers.js'
import { createS3ObjectStorage } from '../object-storage/s3.js'
import type { PolicySet } from '../policies/load-policies.js'
import { findKeyPrefix, STAGING_PREFIX } from '../policies/object-key.js'
import type { BucketEntry, Policy, UploadMethod } from '../policies/policy.js'
import { s3Options } from '../services.js'

/** A bucket that policies use, with all that probes need. */
export interface Site {
  readonly bucket: string
  readonly config: Config
  readonly policies: readonly Policy[]
  /** What S3_REGION and its like are called for this bucket. */
  settingName (variable: 'S3_BUCKET' | 'S3_REGION' | 'S3_ENDPOINT' | 'S3_PUBLIC_ENDPOINT' | 'S3_FORCE_PATH_STYLE'): string
  readonly region: string
  /** Undefined is AWS. */
  readonly endpoint: string | undefined
  readonly publicEndpoint: string | undefined
  readonly settings: BucketSettings
  /** Signs for the address that the service itself asks. */
  readonly internal: ObjectStorage
  /** Signs for the address that clients reach, once it was found to answer; for the internal one else. */
  storage: ObjectStorage
  readonly forClients: ObjectStorage
  /** What keys of policies, and of staging where it is used, begin with. */
  readonly prefixes: readonly string[]
  /** Where a probe may write: a key of its own below one of the prefixes, the first unless given. It is removed in the end. */
  at (name: string, prefix?: string): ObjectLocation
  /** All that `at` gave out, and what is below. */
  readonly written: readonly ObjectLocation[]
  /** Multipart uploads to give up in the end. */
  readonly begun: Array<{ readonly location: ObjectLocation, readonly multipartUploadId: string }>
  /** What the store turned out to do, as far as probes found out. */
  readonly measured: { -readonly [Ability in keyof StoreAbilities]?: StoreAbilities[Ability] }
  uses (method: UploadMethod): boolean
  /** Whether anything is sealed by a copy out of staging. */
  readonly usesStaging: boolean
  close (): void
}

const PROBE_TEXT = 'presignd doctor was here'
/** What every object of a probe holds, and is. */
export const PROBE_BYTES = Buffer.from(PROBE_TEXT)
export const ONE_BYTE_MORE = Buffer.concat([PROBE_BYTES, Buffer.alloc(1)])
export const PROBE_TYPE = 'text/plain'
/** The shortest life that is signed. */
export const PROBE_SECONDS = 60

/** One for each bucket that a policy uses, the one of the environment first. */
export function openSites (config: Config, { policies, buckets }: PolicySet): Site[] {
  const names = [null, ...buckets.keys()]
  return names.flatMap(name => {
    const using = [...policies.values()].filter(policy => policy.bucket === name)
    return using.length === 0 ? [] : [openSite(config, using, name, buckets.get(name ?? ''))]
  })
}

function openSite (config: Config, policies: readonly Policy[], name: string | null, entry: BucketEntry | undefined): Site {
  const options = s3Options(config, entry)
  const bucket = entry?.bucket ?? config.s3.bucket
  const internal = createS3ObjectStorage({ ...options, publicEndpoint: undefined })
  const forClients = options.publicEndpoint === undefined ? internal : createS3ObjectStorage(options)
  const settings = createBucketSettings(options, bucket)
  const run = `presignd-doctor-${randomBytes(6).toString('hex')}`
  const usesStaging = policies.some(({ methods }) => methods.includes('POST') || (methods.includes('PUT') && !config.s3.conditionalWrites))
  const prefixes = [...new Set([...policies.map(({ keyTemplate }) => findKeyPrefix(keyTemplate)), ...(usesStaging ? [STAGING_PREFIX] : [])])]
  const written: ObjectLocation[] = []
  return {
    bucket,
    config,
    policies,
    settingName: variable => name === null ? variable : `buckets.${name}.${ENTRY_NAMES[variable]} in ${config.policiesFile}`,
    region: options.region,
    endpoint: options.endpoint,
    publicEndpoint: options.publicEndpoint,
    settings,
    internal,
    storage: internal,
    forClients,
    prefixes,
    at (name, prefix = prefixes[0] ?? '') {
      const location = { bucket, key: `${prefix}${run}/${name}` }
      written.push(location)
      return location
    },
    written,
    begun: [],
    measured: {},
    uses: method => policies.some(({ methods }) => methods.includes(method)),
    usesStaging,
    close () {
      for (const opened of new Set([internal, forClients, settings])) opened.close()
    }
  }
}

const ENTRY_NAMES = {
  S3_BUCKET: 'bucket',
  S3_REGION: 'region',
  S3_ENDPOINT: 'endpoint',
  S3_PUBLIC_ENDPOINT: 'publicEndpoint',
  S3_FORCE_PATH_STYLE: 'forcePathStyle'
} as const

/** A PUT of the probe's bytes to a key, as the service signs it. */
export function probePut (location: ObjectLocation, changes: Partial<PresignPut> = {}): PresignPut {
  return { ...location, contentType: PROBE_TYPE, sizeBytes: PROBE_BYTES.length, checksum: null, signedAt: new Date(), expiresInSeconds: PROBE_SECONDS, ...changes }
}
