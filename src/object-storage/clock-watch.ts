import type { S3Client } from '@aws-sdk/client-s3'
import { ApiError } from '../errors.js'

/** From here on an operator should know. */
const WARN_MS = 30_000
/** From here on URLs are dead on arrival, or live longer than their rows say: nothing is signed. S3 itself allows 15 minutes. */
const REFUSE_MS = 300_000
/** How often a clock that is wrong is compared again when nothing else asks the store. */
const COMPARE_AGAIN_MS = 10_000

export interface ClockWatch {
  /** Compares the clock with the `Date` of every reply that this client gets. */
  watch (client: S3Client): void
  /**
   * @param compare asks the store for anything, so that a clock that was set right is noticed
   * @throws {ApiError} CLOCK_SKEW while the clock is off by more than five minutes
   */
  check (compare: () => Promise<unknown>): void
}

/** @param onSkew hears once of a clock that is off, in seconds: positive when it is ahead of the store's */
export function createClockWatch (onSkew: (seconds: number) => void): ClockWatch {
  let skewMs = 0
  let comparedAt = 0

  function see (date: string | undefined): void {
    const serverTime = Date.parse(date ?? '')
    if (Number.isNaN(serverTime)) return
    const wasOff = Math.abs(skewMs) > WARN_MS
    skewMs = Date.now() - serverTime
    if (!wasOff && Math.abs(skewMs) > WARN_MS) onSkew(Math.round(skewMs / 1000))
  }

  return {
    watch (client) {
      client.middlewareStack.add(next => async args => {
        const result = await next(args)
        const { headers } = result.response as { headers?: Record<string, string> }
        see(headers?.['date'])
        return result
      }, { step: 'deserialize', priority: 'low', name: 'clockWatch' })
    },

    check (compare) {
      if (Math.abs(skewMs) <= REFUSE_MS) return
      if (Date.now() - comparedAt > COMPARE_AGAIN_MS) {
        comparedAt = Date.now()
        compare().catch(() => {})
      }
      throw new ApiError('CLOCK_SKEW', 'The clock of this server is off, so that its URLs would not work. Tell the operator.', { retryAfterSeconds: 30 })
    }
  }
}
