/** What is counted and timed. Labels are few and ours: no owner, key or id is ever one. */
export interface Metrics {
  /** @param route the pattern, `none` where there is no route */
  request (method: string, route: string, status: number, seconds: number): void
  /** An upload was created, or became what its file's status says. */
  upload (policy: string, outcome: string): void
  /** One look at what arrived, however it ended. */
  verification (seconds: number): void
  /** @param status `none` when no answer came */
  objectStorage (operation: string, status: number | 'none'): void
  /** One attempt; `dead` counts the events that it ended. */
  webhook (outcome: 'delivered' | 'failed' | 'dead', events: number): void
  /** Someone else decided while this process was looking. */
  leaseLost (): void
  /** A URL was made to end with the credentials that signed it. */
  urlTtlClamped (): void
}

/** What is looked up when it is asked for. */
export interface StateOfThings {
  readonly files: { readonly ready: number, readonly unfinished: number }
  /** How long the longest waiting row has waited for the sweeper; 0 when nothing waits. */
  readonly sweeperLagSeconds: number
  /** How old the oldest event is that its receiver has not got; 0 when none waits. */
  readonly outboxOldestSeconds: number
}

export const NO_METRICS: Metrics = {
  request: () => {}, upload: () => {}, verification: () => {}, objectStorage: () => {}, webhook: () => {}, leaseLost: () => {}, urlTtlClamped: () => {}
}
