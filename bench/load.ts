import { once } from 'node:events'
import { startNode } from './processes.js'

/** Requests that are all the same, over keep-alive connections that each wait for the reply before the next request. */
export interface Load {
  readonly url: string
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** One for each request, in place of `path`. */
  readonly paths?: readonly string[]
  readonly connections: number
  /** Exactly so many: none is left under way at the end, so answers and rows can be compared exactly. */
  readonly amount: number
  /** So many requests a second, each sent when it is due, whatever became of the earlier ones; as many as can be answered when left out. */
  readonly perSecond?: number
  /** What every request has to be answered with; any 2xx when left out. */
  readonly status?: number
}

export interface Answers {
  readonly statuses: Readonly<Record<string, number>>
  /** Some of the bodies. */
  readonly samples: readonly string[]
  readonly errors: number
  /** From the first request to the last reply. */
  readonly seconds: number
  /** The milliseconds that all but one in a hundred took at most, from when they were due. */
  readonly p99: number
}

export interface LoadGenerator {
  /** @throws when a single request is not answered as it should be */
  run (load: Load): Promise<Answers>
  stop (): void
}

export function startLoadGenerator (script: string, core: number | null): LoadGenerator {
  const child = startNode([script], { core, env: {}, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })

  async function ask (load: Load): Promise<Answers | { failure: string }> {
    const done = new AbortController()
    child.send(load)
    try {
      const ended = once(child, 'exit', { signal: done.signal }).then(() => [{ failure: 'it ended' }])
      const [reply] = await Promise.race([once(child, 'message', { signal: done.signal }), ended])
      return reply
    } finally {
      done.abort()
    }
  }

  return {
    async run (load) {
      const reply = await ask(load)
      if ('failure' in reply) throw new Error(`The load generator failed: ${reply.failure}`)
      const good = Object.entries(reply.statuses).filter(([status]) => load.status === undefined ? status.startsWith('2') : status === String(load.status)).reduce((sum, [, count]) => sum + count, 0)
      if (good !== load.amount || reply.errors > 0) {
        throw new Error(`${load.amount} requests to ${load.path} brought ${JSON.stringify(reply.statuses)} and ${reply.errors} broken connections: ${reply.samples[0]}`)
      }
      return reply
    },
    stop: () => { child.kill() }
  }
}
