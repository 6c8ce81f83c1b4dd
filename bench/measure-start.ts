import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { compile } from './compile.js'
import { readCpuTime } from './cpu-time.js'
import { readResidentMiB } from './resident-memory.js'
import { benchEnvironment, startServer, type Server } from './servers.js'

export interface Start {
  /** Processor time until the first 200: presignd's /readyz, which asks the database, and the bare server's constant. */
  readonly readyCpuMs: number
  /** Until the first request of those that are measured elsewhere was answered. */
  readonly cpuMs: number
}

type Name = 'presignd' | 'jwt'

export interface Starts {
  readonly rounds: ReadonlyArray<Readonly<Record<Name, Start>>>
  /** The least resident memory in a minute in which nothing is asked: V8 gives back when it finds itself idle, at a moment of its own. */
  readonly idleMiB: Readonly<Record<Name, number>>
}

const IDLE_SECONDS = 60

/** Starts both again and again, by turns. The first start, which migrates the database, is not counted. */
export async function measureStarts (fileOf: Awaited<ReturnType<typeof compile>>, parent: string, rounds: number): Promise<Starts> {
  const folder = join(parent, 'starts')
  mkdirSync(folder)
  const env = benchEnvironment(folder)

  async function start (name: Name): Promise<{ readonly server: Server, readonly start: Start }> {
    const server = await startServer(name, fileOf, folder, env)
    const { url, method, path, headers, body } = server.request
    const ask = async (path: string, init: RequestInit): Promise<number> => {
      const reply = await fetch(url + path, init)
      if (!reply.ok) throw new Error(`${name} answered ${path} with ${reply.status} after its start`)
      await reply.text()
      return await readCpuTime(server.child) / 1000
    }
    const readyCpuMs = await ask(name === 'presignd' ? '/readyz' : path, { headers })
    const cpuMs = await ask(path, { method, headers, ...(body !== undefined && { body }) })
    return { server, start: { readyCpuMs, cpuMs } }
  }

  async function startAndStop (name: Name): Promise<Start> {
    const started = await start(name)
    await started.server.stop()
    return started.start
  }

  await startAndStop('presignd')
  const results: Array<Record<Name, Start>> = []
  for (let round = 0; round < rounds; round++) results.push({ presignd: await startAndStop('presignd'), jwt: await startAndStop('jwt') })

  const [presignd, jwt] = [await start('presignd'), await start('jwt')]
  const idleMiB = { presignd: Infinity, jwt: Infinity }
  for (let second = 0; second < IDLE_SECONDS; second++) {
    await delay(1000)
    idleMiB.presignd = Math.min(idleMiB.presignd, readResidentMiB(presignd.server.child))
    idleMiB.jwt = Math.min(idleMiB.jwt, readResidentMiB(jwt.server.child))
  }
  await presignd.server.stop()
  await jwt.server.stop()
  return { rounds: results, idleMiB }
}
