import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { compile } from './compile.js'
import type { LoadGenerator } from './load.js'
import { readResidentMiB } from './resident-memory.js'
import { benchEnvironment, startServer, type Server } from './servers.js'

/** MiB that are resident. */
export interface Memory {
  /** The least in a minute in which nothing is asked: V8 gives back when it finds itself idle, at a moment of its own. */
  readonly idle: number
  /** The most of those that are taken while it answers as many requests as it can. */
  readonly loaded: number
  /** The least in the minute that follows. */
  readonly after: number
}

type Name = 'presignd' | 'jwt'

const IDLE_SECONDS = 60
const CONNECTIONS = 50
const SAMPLES = 20
const PER_SAMPLE = 10_000

export async function measureMemory (fileOf: Awaited<ReturnType<typeof compile>>, parent: string, generator: LoadGenerator): Promise<Record<Name, Memory>> {
  const folder = join(parent, 'memory')
  mkdirSync(folder)
  const env = benchEnvironment(folder)
  const servers: Record<Name, Server> = { presignd: await startServer('presignd', fileOf, folder, env), jwt: await startServer('jwt', fileOf, folder, env) }

  async function rest (): Promise<Record<Name, number>> {
    const least = { presignd: Infinity, jwt: Infinity }
    for (let second = 0; second < IDLE_SECONDS; second++) {
      await delay(1000)
      least.presignd = Math.min(least.presignd, readResidentMiB(servers.presignd.child))
      least.jwt = Math.min(least.jwt, readResidentMiB(servers.jwt.child))
    }
    return least
  }

  async function load ({ request, child }: Server): Promise<number> {
    let most = 0
    for (let sample = 0; sample < SAMPLES; sample++) {
      await generator.run({ ...request, connections: CONNECTIONS, amount: PER_SAMPLE })
      most = Math.max(most, readResidentMiB(child))
    }
    return most
  }

  try {
    const idle = await rest()
    const loaded = { presignd: await load(servers.presignd), jwt: await load(servers.jwt) }
    const after = await rest()
    const of = (name: Name): Memory => ({ idle: idle[name], loaded: loaded[name], after: after[name] })
    return { presignd: of('presignd'), jwt: of('jwt') }
  } finally {
    await servers.presignd.stop()
    await servers.jwt.stop()
  }
}
