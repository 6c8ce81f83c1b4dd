import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import { openDatabase } from '../src/database/database.js'
import type { compile } from './compile.js'
import type { LoadGenerator } from './load.js'
import type { Plan } from './measure.js'
import { measureTargets, type TargetRound } from './measure-targets.js'
import { OPERATIONS, seed } from './operations.js'
import { BUCKET, benchEnvironment, OWNER, startServer, type Server } from './servers.js'

/** Those whose cost must not follow the number of rows. */
export const GROWING = OPERATIONS.filter(({ label }) => /^`(POST \/uploads`|GET \/files)/.test(label))
export const SMALL_ROWS = 10_000

export const labelOf = (operation: string, rows: number): string => `${operation} at ${rows} rows`

/** The same operations on two databases that differ in the number of rows alone, in the same rounds. */
export async function measureGrowth (fileOf: Awaited<ReturnType<typeof compile>>, parent: string, rows: number, generator: LoadGenerator, plan: Plan): Promise<TargetRound[]> {
  const servers: Server[] = []
  try {
    const targets = []
    for (const amount of [SMALL_ROWS, rows]) {
      const folder = join(parent, `growth-${amount}`)
      mkdirSync(folder)
      const env = benchEnvironment(folder)
      await seed(env['DATABASE_URL'] as string)
      await fill(env['DATABASE_URL'] as string, amount)
      const server = await startServer('presignd', fileOf, folder, env)
      servers.push(server)
      const { url, headers } = server.request
      targets.push(...GROWING.map(({ label, request, check }) => ({ label: labelOf(label, amount), check, child: server.child, request: { url, headers, ...request } })))
    }
    return await measureTargets(targets, generator, plan)
  } finally {
    for (const server of servers) await server.stop()
  }
}

/** Ready files of a thousand each for the one who asks and for many others, as a service has after years. */
async function fill (databaseUrl: string, rows: number): Promise<void> {
  const database = openDatabase(databaseUrl, { onError: () => {} })
  try {
    await sql`insert into files (id, tenant, owner, policy, status, version, filename, content_type, size_bytes, reserved_bytes, visibility, bucket, object_key, etag, metadata, url_deadline, attempts, created_at, updated_at, ready_at, method)
      with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < ${rows})
      select printf('%08x-0000-7000-8000-%012x', n, abs(random()) % 281474976710656), '', case n % 10 when 0 then ${OWNER} else 'user-' || (n / 1000) end, 'pictures', 'ready', 3, 'a.png', 'image/png', 10, 10, 'private', ${BUCKET}, printf('pictures/filled/%012d.png', n), '"e"', '{}', 0, 1, n, n, n, 'PUT' from numbers`.execute(database)
    // Else it happens when the file is closed, which keeps the service out meanwhile.
    await sql`pragma wal_checkpoint(truncate)`.execute(database)
  } finally {
    await database.destroy()
  }
}
