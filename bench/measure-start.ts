import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { compile } from './compile.js'
import { readCpuTime } from './cpu-time.js'
import { benchEnvironment, startServer } from './servers.js'

export interface Start {
  /** Processor time until the first 200: presignd's /readyz, which asks the database, and the bare server's constant. */
  readonly readyCpuMs: number
  /** Until the first request of those that are measured elsewhere was answered. */
  readonly cpuMs: number
}

type Name = 'presignd' | 'jwt'

/** Both, in each round. */
export type StartRound = Readonly<Record<Name, Start>>

/** Starts both again and again, by turns. The first start, which migrates the database, is not counted. */
export async function measureStarts (fileOf: Awaited<ReturnType<typeof compile>>, parent: string, rounds: number): Promise<StartRound[]> {
  const folder = join(parent, 'starts')
  mkdirSync(folder)
  const env = benchEnvironment(folder)

  async function startAndStop (name: Name): Promise<Start> {
    const server = await startServer(name, fileOf, folder, env)
    try {
      const { url, method, path, headers, body } = server.request
      const ask = async (path: string, init: RequestInit): Promise<number> => {
        const reply = await fetch(url + path, init)
        if (!reply.ok) throw new Error(`${name} answered ${path} with ${reply.status} after its start`)
        await reply.text()
        return await readCpuTime(server.child) / 1000
      }
      const readyCpuMs = await ask(name === 'presignd' ? '/readyz' : path, { headers })
      const cpuMs = await ask(path, { method, headers, ...(body !== undefined && { body }) })
      return { readyCpuMs, cpuMs }
    } finally {
      await server.stop()
    }
  }

  await startAndStop('presignd')
  const results: StartRound[] = []
  for (let round = 0; round < rounds; round++) results.push({ presignd: await startAndStop('presignd'), jwt: await startAndStop('jwt') })
  return results
}
