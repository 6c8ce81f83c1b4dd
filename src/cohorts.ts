/** How much goes on in one turn of the event loop: it stays within a few milliseconds, however much comes at once. */
const MAX_COHORT = 16

/**
 * Lets what waits at the same place in one turn of the event loop go on together in the next one, in order; what is too
 * much for it goes on in those that follow. The same code then runs again while the caches of the processor
 * hold it, which is worth far more than the wait: cohort scheduling, docs/decisions/0013-cohorts.md.
 */
export function createCohorts (): (goOn: () => void) => void {
  const waiting: Array<() => void> = []
  function run (): void {
    const cohort = waiting.splice(0, MAX_COHORT)
    if (waiting.length > 0) setImmediate(run)
    for (const goOn of cohort) goOn()
  }
  return goOn => {
    if (waiting.length === 0) setImmediate(run)
    waiting.push(goOn)
  }
}
