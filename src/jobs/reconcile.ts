import type { Services } from '../services.js'
import { reconcileMultiparts, type MultipartFinding } from './reconcile-multiparts.js'
import { reconcileObjects, type ObjectFinding } from './reconcile-objects.js'
import { planPlaces } from './reconcile-places.js'

export interface UsageFinding {
  readonly kind: 'usage-drift'
  readonly tenant: string
  readonly owner: string
  readonly policy: string
  readonly counted: object
  readonly actual: object
  readonly action: 'none' | 'repaired'
}
export type Finding = ObjectFinding | MultipartFinding | UsageFinding

export interface ReconcileOptions {
  /** Delete stray objects, abort stray multipart uploads, repair counters and send `file.missing`; otherwise only look. */
  readonly apply: boolean
  readonly signal?: AbortSignal
}

/** What a slow request may take after its URL has ended, as in the sweeper. */
const SLOW_REQUEST_MS = 24 * 3_600_000

/**
 * Compares rows and buckets both ways, beside running services: objects and multipart uploads that no row
 * names, ready rows without their object, and counters that are not the sums over their rows. It looks only
 * below the prefixes of the policies' keys, only at keys that a policy could have made, and leaves alone what
 * is younger than any URL that could have made it, plus a day. Memory does not grow with the number of either.
 */
export async function * reconcile (services: Services, { apply, signal }: ReconcileOptions): AsyncGenerator<Finding> {
  const longestTtlSeconds = Math.max(services.config.uploadUrlTtlSeconds, ...[...services.policies.values()].map(policy => policy.uploadUrlTtlSeconds))
  const strayBefore = new Date(services.now().getTime() - longestTtlSeconds * 1000 - SLOW_REQUEST_MS)
  for (const place of planPlaces(services)) {
    if (signal?.aborted) return
    yield * reconcileMultiparts(services, place, { apply, strayBefore })
    yield * reconcileObjects(services, place, { apply, strayBefore })
  }
  if (signal?.aborted) return
  for await (const drift of services.inventory.usageDrift({ repair: apply })) yield { kind: 'usage-drift', ...drift, action: apply ? 'repaired' : 'none' }
}
