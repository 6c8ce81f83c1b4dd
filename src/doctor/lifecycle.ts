import { hash } from 'node:crypto'
import type { LifecycleRule, NewLifecycleRule } from '../object-storage/bucket-settings.js'
import { findKeyPrefix, STAGING_PREFIX } from '../policies/object-key.js'
import { describeError, isUnsupported } from './describe-error.js'
import { fail, ok, warn, type Finding, type Probe } from './finding.js'
import type { Site } from './site.js'

const DAY_SECONDS = 24 * 3600
const MIN_DAYS = 2

const lifecycle: Probe<Site> = {
  id: 'lifecycle-parts',
  async run (site) {
    let rules
    try {
      rules = await site.settings.readLifecycle()
    } catch (error) {
      return [warn('lifecycle-parts', `lifecycle rules cannot be read: ${describeError(error)}`, isUnsupported(error)
        ? 'run presignd reconcile --apply now and then: it finds what is left'
        : `allow s3:GetLifecycleConfiguration on arn:aws:s3:::${site.bucket}, or look at them by hand`)]
    }
    return [...checkAbandoned(site, rules), ...checkFiles(site, rules)]
  }
}

/** Makes the store forget what nobody comes back for. Other rules stay. */
export async function applyLifecycle (site: Site): Promise<void> {
  const missing = missingRules(site, await site.settings.readLifecycle())
  if (missing.length > 0) await site.settings.addLifecycleRules(missing)
}

function checkAbandoned (site: Site, rules: readonly LifecycleRule[]): Finding[] {
  const missing = missingRules(site, rules)
  const fix = 'run presignd doctor --apply with a key that may s3:GetLifecycleConfiguration and s3:PutLifecycleConfiguration'
  const parts = missing.filter(({ abortAfterDays }) => abortAfterDays !== null).map(({ prefix }) => place(prefix))
  const staging = missing.some(({ expireAfterDays }) => expireAfterDays !== null)
  const findings: Finding[] = []
  if (parts.length > 0) findings.push(warn('lifecycle-parts', `no rule aborts abandoned multipart uploads ${parts.join(', ')}`, fix))
  else if (site.uses('multipart')) findings.push(ok('lifecycle-parts', 'abandoned multipart uploads are aborted'))
  if (staging) findings.push(warn('lifecycle-staging', `no rule expires what is left ${place(STAGING_PREFIX)}`, fix))
  else if (site.usesStaging) findings.push(ok('lifecycle-staging', `what is left ${place(STAGING_PREFIX)} expires`))
  return findings
}

/** A rule for tidying up must not reach files that are kept. */
function checkFiles (site: Site, rules: readonly LifecycleRule[]): Finding[] {
  const found = site.policies.flatMap(policy => {
    const prefix = findKeyPrefix(policy.keyTemplate)
    const rule = rules.find(({ expireAfterDays, isTagged, prefix: covered }) => expireAfterDays !== null && !isTagged &&
      (prefix.startsWith(covered) || covered.startsWith(prefix)) && !(covered.startsWith(STAGING_PREFIX)) &&
      (policy.retentionDays === null || expireAfterDays < policy.retentionDays))
    return rule ? [fail('lifecycle-files', `the rule "${rule.name}" of the bucket deletes files of ${policy.name}, which presignd still has rows of`, `narrow or remove the rule, and set retentionDays in ${site.config.policiesFile} instead`)] : []
  })
  return found.length > 0 ? found : [ok('lifecycle-files', 'no rule deletes files that are kept')]
}

function missingRules (site: Site, rules: readonly LifecycleRule[]): NewLifecycleRule[] {
  const days = Math.max(MIN_DAYS, Math.ceil(site.config.uploadUrlTtlSeconds / DAY_SECONDS) + 1)
  const covers = (prefix: string, does: (rule: LifecycleRule) => boolean): boolean => rules.some(rule => !rule.isTagged && prefix.startsWith(rule.prefix) && does(rule))
  const parted = [...new Set(site.policies.filter(({ methods }) => methods.includes('multipart')).map(({ keyTemplate }) => findKeyPrefix(keyTemplate)))]
  return [
    ...parted.filter(prefix => !covers(prefix, rule => rule.abortAfterDays !== null))
      // Alike prefixes must not give one name: a bucket has no two rules of it.
      .map(prefix => ({ name: `presignd-parts-${prefix.replace(/[^A-Za-z0-9]+/g, '-')}${hash('sha256', prefix).slice(0, 8)}`, prefix, abortAfterDays: days, expireAfterDays: null })),
    ...(site.usesStaging && !covers(STAGING_PREFIX, rule => rule.expireAfterDays !== null)
      ? [{ name: 'presignd-staging', prefix: STAGING_PREFIX, abortAfterDays: null, expireAfterDays: days }]
      : [])
  ]
}

function place (prefix: string): string {
  return prefix === '' ? 'in the bucket' : `under ${prefix}`
}

export const lifecycleProbes: ReadonlyArray<Probe<Site>> = [lifecycle]
