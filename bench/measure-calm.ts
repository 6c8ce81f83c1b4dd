import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { compile } from './compile.js'
import type { LoadGenerator } from './load.js'
import { benchEnvironment, SERVERS, startServer, type Server, type ServerName } from './servers.js'

/** Milliseconds that all but one in a hundred took at most. */
export type CalmRound = Readonly<Record<ServerName, number>>

export const PER_SECOND = 200
const SECONDS = 4
const CONNECTIONS = 50

/** What clients wait for when nobody is near their limit: requests that come one by one, as often as anyone bears. */
export async function measureCalm (fileOf: Awaited<ReturnType<typeof compile>>, parent: string, generator: LoadGenerator, rounds: number): Promise<CalmRound[]> {
  const folder = join(parent, 'calm')
  mkdirSync(folder)
  const servers: Server[] = []
  try {
    for (const name of SERVERS) servers.push(await startServer(name, fileOf, folder, benchEnvironment(folder)))
    const results: CalmRound[] = []
    // The first round warms up.
    for (let round = 0; round <= rounds; round++) {
      const p99: Partial<Record<ServerName, number>> = {}
      for (let turn = 0; turn < servers.length; turn++) {
        const { name, request } = servers[(round + turn) % servers.length] as Server
        p99[name] = (await generator.run({ ...request, connections: CONNECTIONS, amount: PER_SECOND * SECONDS, perSecond: PER_SECOND })).p99
      }
      if (round > 0) results.push(p99 as CalmRound)
    }
    return results
  } finally {
    for (const server of servers) await server.stop()
  }
}
