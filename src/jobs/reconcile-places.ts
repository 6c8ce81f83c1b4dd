import { findKeyPrefix, keyPattern, STAGING_PREFIX } from '../policies/object-key.js'
import type { Services } from '../services.js'

/** A part of a bucket that holds files of this service, perhaps among others. */
export interface Place {
  readonly bucket: string
  readonly prefix: string
  /** Whether this service could have made a key. */
  readonly isOurs: (key: string) => boolean
}

/** Where files can be: below each prefix once, also where the prefix of one policy begins that of another. */
export function planPlaces ({ policies, buckets, config }: Services): Place[] {
  const templates = new Map<string, string[]>([[config.s3.bucket, []], ...[...buckets.values()].map((bucket): [string, string[]] => [bucket, []])])
  for (const { bucket, keyTemplate } of policies.values()) templates.get(buckets.get(bucket ?? '') ?? config.s3.bucket)?.push(keyTemplate)
  return [...templates].flatMap(([bucket, ofBucket]) => {
    const prefixes = [STAGING_PREFIX, ...ofBucket.map(findKeyPrefix)]
    const outermost = prefixes.filter((prefix, index) => !prefixes.some((other, at) => prefix.startsWith(other) && (other !== prefix || at < index)))
    const patterns = [`${STAGING_PREFIX}{fileId}`, ...ofBucket].map(keyPattern)
    return outermost.map(prefix => ({ bucket, prefix, isOurs: (key: string) => patterns.some(pattern => pattern.test(key)) }))
  })
}
