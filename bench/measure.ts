import { checkUrls } from './check-answers.js'
import { readCpuTime } from './cpu-time.js'
import type { LoadGenerator } from './load.js'
import { SERVERS, type Server, type ServerName } from './servers.js'

export interface Plan {
  readonly connections: number
  readonly rounds: number
  readonly warmUpSeconds: number
  readonly seconds: number
}

export interface Measure {
  readonly cpuUsPerRequest: number
  readonly requestsPerSecond: number
  /** Milliseconds. */
  readonly p99: number
}

/** One measure of each server, taken within a few seconds of each other. */
export type Round = Readonly<Record<ServerName, Measure>>

/** All that was answered, to be held against the database. */
export interface Tally {
  readonly answers: Record<ServerName, number>
  readonly samples: Record<ServerName, string[]>
  checkedUrls: number
}

export function newTally (): Tally {
  return { answers: { presignd: 0, jwt: 0, tutorial: 0 }, samples: { presignd: [], jwt: [], tutorial: [] }, checkedUrls: 0 }
}

/** Where rounds begin: V8 goes on compiling for tens of thousands of requests, so that the first one measures the compiler. */
export const UNCOUNTED = -1

const FIRST_BATCH_PER_CONNECTION = 4

type Target = Pick<Server, 'child' | 'request'>

/**
 * Measures one server at a time, each after a warm-up of its own that also finds out how many requests fill the time.
 * @param onAnswers hears of all that was answered, of the warm-up too
 */
export function createMeter (generator: LoadGenerator, { connections, warmUpSeconds, seconds }: Omit<Plan, 'rounds'>): <T extends Target>(target: T, onAnswers: (target: T, amount: number, samples: readonly string[]) => void) => Promise<Measure> {
  const amountFor = (rate: number, time: number): number => Math.max(1, Math.round(rate * time / connections)) * connections

  return async (target, onAnswers) => {
    async function load (amount: number): Promise<{ readonly rate: number, readonly p99: number }> {
      const { samples, seconds, p99 } = await generator.run({ ...target.request, connections, amount })
      onAnswers(target, amount, samples)
      return { rate: amount / seconds, p99 }
    }
    const end = performance.now() + warmUpSeconds * 1000
    let { rate } = await load(connections * FIRST_BATCH_PER_CONNECTION)
    while (performance.now() < end) ({ rate } = await load(amountFor(rate, warmUpSeconds / 3)))
    const amount = amountFor(rate, seconds)
    const before = await readCpuTime(target.child)
    const { rate: requestsPerSecond, p99 } = await load(amount)
    return { cpuUsPerRequest: (await readCpuTime(target.child) - before) / amount, requestsPerSecond, p99 }
  }
}

/** Loads one server after the other, each round in another order, so that a busy moment of the machine hits all alike. */
export async function measureRounds (servers: ReadonlyMap<ServerName, Server>, generator: LoadGenerator, plan: Plan, tally: Tally): Promise<Round[]> {
  const measure = createMeter(generator, plan)
  const results: Round[] = []
  for (let round = UNCOUNTED; round < plan.rounds; round++) {
    const measures: Partial<Record<ServerName, Measure>> = {}
    for (let turn = 0; turn < SERVERS.length; turn++) {
      const server = servers.get(SERVERS[(round - UNCOUNTED + turn) % SERVERS.length] as ServerName) as Server
      measures[server.name] = await measure(server, ({ name }, amount, samples) => {
        tally.answers[name] += amount
        tally.samples[name].push(...samples)
        tally.checkedUrls += checkUrls(name, samples)
      })
    }
    if (round >= 0) results.push(measures as Round)
  }
  return results
}
