import { loadConfig } from '../config.js'
import { bucketPolicy, doctorPolicy, reconcilePolicy, servicePolicy, type BucketUse } from '../object-storage/iam-policies.js'
import { loadPolicies } from '../policies/load-policies.js'
import { findKeyPrefix, STAGING_PREFIX } from '../policies/object-key.js'

/** Prints, for the buckets of the configuration, what its credentials need and what each bucket should refuse. Asks nobody. */
export function printIamPolicies (env: Readonly<Record<string, string | undefined>>): void {
  const config = loadConfig(env)
  const { policies, buckets } = loadPolicies(config.policiesFile, config)
  const uses = new Map<string, { prefixes: Set<string>, maxUrlSeconds: number }>()
  for (const policy of policies.values()) {
    const name = policy.bucket === null ? config.s3.bucket : buckets.get(policy.bucket)?.bucket ?? ''
    const { prefixes, maxUrlSeconds } = uses.get(name) ?? { prefixes: new Set([STAGING_PREFIX]), maxUrlSeconds: 0 }
    uses.set(name, {
      prefixes: prefixes.add(findKeyPrefix(policy.keyTemplate)),
      maxUrlSeconds: Math.max(maxUrlSeconds, policy.uploadUrlTtlSeconds, policy.downloadUrlTtlSeconds)
    })
  }
  const list: BucketUse[] = [...uses].map(([bucket, { prefixes, maxUrlSeconds }]) => ({ bucket, prefixes: withoutCovered(prefixes), stagingPrefix: STAGING_PREFIX, maxUrlSeconds }))
  process.stdout.write(`${JSON.stringify({
    service: servicePolicy(list),
    reconcile: reconcilePolicy(list),
    doctor: doctorPolicy(list),
    buckets: Object.fromEntries(list.map(use => [use.bucket, bucketPolicy(use)]))
  }, null, 2)}\n`)
}

/** Without those that another one begins. */
function withoutCovered (prefixes: ReadonlySet<string>): string[] {
  return [...prefixes].filter(prefix => ![...prefixes].some(other => other !== prefix && prefix.startsWith(other)))
}
