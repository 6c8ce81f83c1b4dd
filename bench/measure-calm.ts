import { closeSync, fsyncSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { compile } from './compile.js'
import type { LoadGenerator } from './load.js'
import { benchEnvironment, SERVERS, startServer, type Server, type ServerName } from './servers.js'

/** Milliseconds that all but one in a hundred took at most; `disk` is what a commit of presignd waits for, by itself. */
export type CalmRound = Readonly<Record<ServerName | 'disk', number>>

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
      const p99: Partial<Record<keyof CalmRound, number>> = { disk: await measureDisk(join(folder, 'disk')) }
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

/** The pages that a new row changes: of its table, of five indexes, and of the owner's usage. */
const COMMIT_BYTES = 32 * 1024

async function measureDisk (path: string): Promise<number> {
  const file = openSync(path, 'a')
  const pages = Buffer.alloc(COMMIT_BYTES, 1)
  const times: number[] = []
  for (let commit = 0; commit < PER_SECOND * SECONDS; commit++) {
    await delay(1000 / PER_SECOND)
    const began = performance.now()
    writeSync(file, pages)
    fsyncSync(file)
    times.push(performance.now() - began)
  }
  closeSync(file)
  return times.sort((left, right) => left - right)[Math.ceil(times.length * 0.99) - 1] as number
}
