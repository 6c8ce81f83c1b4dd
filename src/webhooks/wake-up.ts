/** Sleepers by name, and those who wake them. A call that comes while nobody sleeps is kept for the next. */
export function createWakeUp () {
  const called = new Set<string>()
  const sleepers = new Map<string, () => void>()

  return {
    wake (name: string): void {
      called.add(name)
      sleepers.get(name)?.()
    },

    /** Resolves when called, when the time is over, or when the signal ends the waiting. One sleeper by a name. */
    async sleep (name: string, milliseconds: number, signal: AbortSignal): Promise<void> {
      if (!called.has(name) && !signal.aborted) {
        await new Promise<void>(resolve => {
          const end = (): void => {
            clearTimeout(timer)
            signal.removeEventListener('abort', end)
            resolve()
          }
          const timer = setTimeout(end, milliseconds).unref()
          sleepers.set(name, end)
          signal.addEventListener('abort', end)
        })
        sleepers.delete(name)
      }
      called.delete(name)
    }
  }
}
