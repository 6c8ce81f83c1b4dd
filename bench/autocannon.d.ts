/** The part of autocannon that the load generator uses; the package has no types of its own. */
declare module 'autocannon' {
  interface Options {
    readonly url: string
    readonly connections: number
    /** Ends after so many answers, each of them read to its end. */
    readonly amount: number
    readonly timeout: number
    /** How often it looks whether it is done, in milliseconds. */
    readonly sampleInt: number
    readonly requests: ReadonlyArray<{
      readonly method: string
      readonly path: string
      readonly headers: Readonly<Record<string, string>>
      readonly body?: string
      readonly setupRequest?: (request: object) => object
      readonly onResponse: (status: number, body: string) => void
    }>
  }
  interface Result { readonly errors: number, readonly timeouts: number }
  interface Running extends Promise<Result> {
    on (event: 'response', listener: (client: unknown, status: number, bytes: number, milliseconds: number) => void): void
  }
  export default function autocannon (options: Options): Running
}
