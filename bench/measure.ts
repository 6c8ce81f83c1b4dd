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

const FIRST_BATCH_PER_CONNECTION = 4

/** Loads one server after the other, each round in another order, so that a busy moment of the machine hits all alike. */
export async function measureRounds (servers: ReadonlyMap<ServerName, Server>, generator: LoadGenerator, { connections, rounds, warmUpSeconds, seconds }: Plan, tally: Tally): Promise<Round[]> {
  async function load (server: Server, amount: number): Promise<number> {
    const { samples, seconds } = await generator.run({ ...server.request, connections, amount })
    tally.answers[server.name] += amount
    tally.samples[server.name].push(...samples)
    tally.checkedUrls += checkUrls(server.name, samples)
    return amount / seconds
  }

  /** Also finds out how many requests fill the time that is asked for. */
  async function warmUp (server: Server): Promise<number> {
    const end = performance.now() + warmUpSeconds * 1000
    let rate = await load(server, connections * FIRST_BATCH_PER_CONNECTION)
    while (performance.now() < end) rate = await load(server, amountFor(rate, warmUpSeconds / 3))
    return rate
  }

  const amountFor = (rate: number, time: number): number => Math.max(1, Math.round(rate * time / connections)) * connections

  async function measure (server: Server): Promise<Measure> {
    const amount = amountFor(await warmUp(server), seconds)
    const before = await readCpuTime(server.child)
    const requestsPerSecond = await load(server, amount)
    return { cpuUsPerRequest: (await readCpuTime(server.child) - before) / amount, requestsPerSecond }
  }

  const results: Round[] = []
  for (let round = 0; round < rounds; round++) {
    const measures: Partial<Record<ServerName, Measure>> = {}
    for (let turn = 0; turn < SERVERS.length; turn++) {
      const server = servers.get(SERVERS[(round + turn) % SERVERS.length] as ServerName) as Server
      measures[server.name] = await measure(server)
    }
    results.push(measures as Round)
  }
  return results
}
