/** Far below the 10 ms that no turn of the event loop may take, since what is done before and after a loop counts, too. */
const MAX_TURN_MS = 3

const waiting: Array<() => void> = []

/** One at a time, so that many at once do not make a long turn together. */
function goOn (): void {
  waiting.shift()?.()
  if (waiting.length > 0) setImmediate(goOn)
}

/**
 * For a loop whose length a client decides: what is returned is awaited at each step, and lets everything else go first
 * once the loop has taken long.
 */
export function takeTurns (): () => Promise<void> {
  let began = performance.now()
  return async () => {
    if (performance.now() - began < MAX_TURN_MS) return
    await new Promise<void>(resolve => {
      if (waiting.length === 0) setImmediate(goOn)
      waiting.push(resolve)
    })
    began = performance.now()
  }
}
