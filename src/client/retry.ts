import type { UploadError } from './upload-error.js'

const TRIES = 6
const FIRST_WAIT_MS = 500
/** Whoever is told to wait longer hears of the error instead. */
const LONGEST_WAIT_MS = 120_000

/** Thrown inside `retry` for a fault that may be over in a moment; `reason` is what the caller sees when it is not. */
export class PassingFault {
  constructor (readonly reason: UploadError) {}
}

/** Repeats a task that throws passing faults, after longer and longer waits. Everything else is thrown at once. */
export async function retry<Result> (task: () => Promise<Result>, signal: AbortSignal | undefined, onRetry?: (fault: UploadError) => void): Promise<Result> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await task()
    } catch (fault) {
      signal?.throwIfAborted()
      if (!(fault instanceof PassingFault)) throw fault
      // Somewhere in the upper half, so that not all clients come back in the same moment.
      const milliseconds = Math.max(FIRST_WAIT_MS * 2 ** failures * (1 + Math.random()) / 4, fault.reason.retryAfterSeconds * 1000)
      if (failures === TRIES || milliseconds > LONGEST_WAIT_MS) throw fault.reason
      onRetry?.(fault.reason)
      await wait(milliseconds, signal)
    }
  }
}

/** Rejects with the reason of the signal when it ends the waiting. */
export async function wait (milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, milliseconds)
    signal?.addEventListener('abort', stop)
    if (signal?.aborted) stop()
  })
}
