import type { Quota } from '../policies/policy.js'
import type { NewFile } from './file-row.js'
import { limitsOf, NO_USAGE, type Usage, type UsageKey } from './usage.js'

export interface NewUpload {
  readonly file: NewFile
  readonly quota: Quota
  /** The upload ticket that it counts against. */
  readonly ticketId?: string | undefined
}

/** What counts in one owner's usage under one policy. */
export interface Counters {
  readonly key: UsageKey
  readonly uploads: NewUpload[]
  /** What all uploads together would hold. */
  reserved: Usage
  /** Policies may have been read anew between two uploads: the lower one counts. */
  limits: Usage
}

/**
 * Groups uploads by whose usage they count in. Of requests with one idempotency key that came together, only the first may count.
 * Always in one order, so that two transactions never wait for each other.
 */
export function countByOwner (uploads: readonly NewUpload[]): Counters[] {
  const counted = new Map<string, Counters>()
  const seenKeys = new Set<string>()
  for (const upload of uploads) {
    const { file } = upload
    if (file.idempotency) {
      const key = JSON.stringify([file.tenant, file.owner, file.idempotency.key])
      if (seenKeys.has(key)) continue
      seenKeys.add(key)
    }
    // None of them has control characters.
    const id = `${file.tenant}\n${file.owner}\n${file.policy}`
    const limits = limitsOf(upload.quota)
    const counters = counted.get(id) ?? { key: file, uploads: [], reserved: NO_USAGE, limits }
    counters.uploads.push(upload)
    counters.reserved = add(counters.reserved, file)
    counters.limits = lower(counters.limits, limits)
    counted.set(id, counters)
  }
  return [...counted].sort(([left], [right]) => left < right ? -1 : 1).map(([, counters]) => counters)
}

export function add (usage: Usage, file: NewFile): Usage {
  return { files: usage.files + 1, bytes: usage.bytes + file.reservedBytes, pending: usage.pending + 1 }
}

function lower (left: Usage, right: Usage): Usage {
  return { files: Math.min(left.files, right.files), bytes: Math.min(left.bytes, right.bytes), pending: Math.min(left.pending, right.pending) }
}
