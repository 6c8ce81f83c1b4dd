const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

/** How long after each attempt the next one comes: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#deliverability-and-reliability */
const DELAYS_MS = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR]
/** Receivers that come back together should not be met together. */
const JITTER = 0.2
/** A receiver may ask for more patience than the schedule has, but not for ever. */
const MAX_RETRY_AFTER_MS = 24 * HOUR

/**
 * When to try again after this many attempts; null when that was the last one.
 * @param retryAfterMs what the receiver asked for; 0 when nothing
 * @param random 0 to 1
 */
export function nextAttemptAt (attempts: number, now: Date, retryAfterMs: number, random: number): Date | null {
  const delay = DELAYS_MS[attempts - 1]
  if (delay === undefined) return null
  const spread = delay * (1 - JITTER + 2 * JITTER * random)
  return new Date(now.getTime() + Math.round(Math.max(spread, Math.min(retryAfterMs, MAX_RETRY_AFTER_MS))))
}

/** RFC 9110 section 10.2.3: seconds, or a date. 0 when there is nothing to read. */
export function parseRetryAfter (value: string | undefined, now: Date): number {
  if (value === undefined) return 0
  if (/^\d{1,10}$/.test(value.trim())) return Number(value) * SECOND
  const at = Date.parse(value)
  return Number.isNaN(at) ? 0 : Math.max(0, at - now.getTime())
}
