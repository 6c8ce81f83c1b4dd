import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { compile } from './compile.js'
import type { LoadGenerator } from './load.js'
import { benchEnvironment, startServer, type ServerName } from './servers.js'

const CONNECTIONS = 50
const WARM_UP = 2000
const REQUESTS = 20_000

/** What V8 has collected for each request, in KiB. It tells so itself: what a collection found and what it left. */
export async function measureGarbage (fileOf: Awaited<ReturnType<typeof compile>>, parent: string, generator: LoadGenerator): Promise<Record<'presignd' | 'jwt', number>> {
  const measure = async (name: ServerName): Promise<number> => {
    const folder = join(parent, `garbage-${name}`)
    mkdirSync(folder)
    const server = await startServer(name, fileOf, folder, benchEnvironment(folder), { flags: ['--trace-gc'] })
    const collected = (): number => [...readFileSync(join(folder, `${name}.log`), 'utf8').matchAll(COLLECTION)].reduce((sum, [, before, after]) => sum + Number(before) - Number(after), 0)
    try {
      await generator.run({ ...server.request, connections: CONNECTIONS, amount: WARM_UP })
      const before = collected()
      await generator.run({ ...server.request, connections: CONNECTIONS, amount: REQUESTS })
      return (collected() - before) * 1024 / REQUESTS
    } finally {
      await server.stop()
    }
  }
  return { presignd: await measure('presignd'), jwt: await measure('jwt') }
}

/** In MB, the second number of each pair being what V8 has reserved. */
const COLLECTION = /: (?:Scavenge|Mark-Compact)[^\n]*? ([\d.]+) \([\d.]+\) -> ([\d.]+) \([\d.]+\) MB/g
