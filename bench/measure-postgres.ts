import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import type { compile } from './compile.js'
import { NEEDS_PROBE, readCpuTimeOf } from './cpu-time.js'
import type { LoadGenerator } from './load.js'
import { startOnPostgres } from './servers.js'

const CONNECTIONS = 50
const WARM_UP = 10_000
const ROUNDS = 3
const REQUESTS = 10_000

/** What PostgreSQL itself takes for a row of `POST /uploads`, of all its processes, in microseconds of processor time. None where there is no /proc. */
export async function measurePostgres (fileOf: Awaited<ReturnType<typeof compile>>, parent: string, generator: LoadGenerator): Promise<number[]> {
  if (NEEDS_PROBE) return []
  const folder = join(parent, 'postgres-alone')
  mkdirSync(folder)
  const server = await startOnPostgres(fileOf, folder)
  const client = new pg.Client({ connectionString: server.databaseUrl })
  try {
    const load = async (amount: number): Promise<unknown> => await generator.run({ ...server.request, connections: CONNECTIONS, amount })
    await load(WARM_UP)
    await client.connect()
    const { rows } = await client.query<{ pid: number }>('select pid from pg_stat_activity')
    const used = (): number => rows.reduce((sum, { pid }) => sum + readCpuTimeOf(pid), 0)
    const results: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const before = used()
      await load(REQUESTS)
      results.push((used() - before) / REQUESTS)
    }
    return results
  } finally {
    await client.end()
    await server.stop()
  }
}
