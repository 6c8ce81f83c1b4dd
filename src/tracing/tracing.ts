/** Values of spans: few, and never an address, a key of an object, a token or what a client wrote. */
export type SpanAttributes = Readonly<Record<string, string | number>>

/** The span of one request, from its first hook to its last. */
export interface RequestSpan {
  readonly traceId: string
  /** What is done here, and all that follows from it, has this span around it. */
  run (work: () => void): void
  end (route: string, status: number, problemCode: string | null): void
}

/** Tells a collector of traces what takes how long. */
export interface Tracing {
  /** Goes on with the trace of the caller where the headers carry one. @see https://www.w3.org/TR/trace-context/ */
  startRequest (method: string, headers: Readonly<Record<string, unknown>>): RequestSpan
  /** A call of another system, where there is a span around it. */
  traceCall<T> (name: string, attributes: SpanAttributes, call: () => Promise<T>): Promise<T>
  /** As `traceCall`, also where there is none around; the call gets the headers that pass the trace on. */
  traceDelivery<T> (name: string, attributes: SpanAttributes, call: (headers: Readonly<Record<string, string>>) => Promise<T>): Promise<T>
  /** A query that has just ended, where there is a span around it. Its values are not looked at. */
  queryEnded (sql: string, milliseconds: number, error: unknown): void
  /** Sends what is left; gives up after a few seconds. */
  close (): Promise<void>
}
