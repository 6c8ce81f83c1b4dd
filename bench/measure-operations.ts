import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { compile } from './compile.js'
import type { LoadGenerator } from './load.js'
import type { Plan } from './measure.js'
import { measureTargets, type TargetRound } from './measure-targets.js'
import { rejectionTargets } from './measure-rejections.js'
import { OPERATIONS, seed } from './operations.js'
import { benchEnvironment, startServer } from './servers.js'

/** The label of the bare server. */
export const JWT = 'jwt'

/** Every operation by turns, and what is refused, on a service and a database of their own, and the bare server. */
export async function measureOperations (fileOf: Awaited<ReturnType<typeof compile>>, parent: string, generator: LoadGenerator, plan: Plan): Promise<TargetRound[]> {
  const folder = join(parent, 'operations')
  mkdirSync(folder)
  const env = benchEnvironment(folder)
  await seed(env['DATABASE_URL'] as string)
  const presignd = await startServer('presignd', fileOf, folder, env)
  const jwt = await startServer('jwt', fileOf, folder, env)
  const { url, headers } = presignd.request
  const targets = OPERATIONS.map(({ label, request, check }) => ({ label, check, child: presignd.child, request: { url, headers, ...request } }))
  try {
    return await measureTargets([...targets, ...rejectionTargets(presignd), { label: JWT, child: jwt.child, request: jwt.request }], generator, plan)
  } finally {
    await presignd.stop()
    await jwt.stop()
  }
}
