// Waiting, and trying again.
/* global navigator, setTimeout, clearTimeout */

const ATTEMPTS = 5
const FIRST_WAIT_MS = 500

export function wait (milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const stop = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop)
      resolve()
    }, milliseconds)
    signal.addEventListener('abort', stop, { once: true })
  })
}

/** Repeats what fails for a moment, each time after a longer wait. What fails for good, or without a network, is thrown at once. */
export async function retry (task, signal) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await task()
    } catch (problem) {
      if (!problem.isTransient || attempt === ATTEMPTS || !navigator.onLine || signal.aborted) throw problem
      const longest = FIRST_WAIT_MS * 2 ** (attempt - 1)
      // Somewhere in the upper half, so that not all come back in the same moment.
      await wait(Math.max(longest * (0.5 + Math.random() / 2), problem.retryAfterSeconds * 1000), signal)
    }
  }
}
