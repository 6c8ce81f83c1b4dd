import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { compile } from './compile.js'
import type { LoadGenerator } from './load.js'
import type { Plan } from './measure.js'
import { measureTargets, type Target, type TargetRound } from './measure-targets.js'
import { rejectionTargets } from './measure-rejections.js'
import { CREATES, OPERATIONS, seed, type Operation } from './operations.js'
import { benchEnvironment, startOnPostgres, startServer } from './servers.js'

/** The label of `POST /uploads` on PostgreSQL. */
export const CREATE_ON_POSTGRES = 'create on PostgreSQL'
/** The labels of the bare server, with a token and without. */
export const JWT = 'jwt'
export const OPEN = 'open'

export interface OperationRounds {
  /** With what is refused, and the bare server. */
  readonly all: TargetRound[]
  /** What creates files, by one caller who waits for each reply. */
  readonly oneCaller: TargetRound[]
}

/** Every operation by turns, on a service and a database of their own. */
export async function measureOperations (fileOf: Awaited<ReturnType<typeof compile>>, parent: string, generator: LoadGenerator, plan: Plan): Promise<OperationRounds> {
  const folder = join(parent, 'operations')
  mkdirSync(folder)
  const env = benchEnvironment(folder)
  await seed(env['DATABASE_URL'] as string)
  const presignd = await startServer('presignd', fileOf, folder, env)
  const jwt = await startServer('jwt', fileOf, folder, env)
  const onPostgres = await startOnPostgres(fileOf, folder)
  const { url, headers } = presignd.request
  const toTarget = ({ label, request, check }: Operation): Target => ({ label, check, child: presignd.child, request: { url, headers, ...request } })
  const bare = [
    { label: JWT, child: jwt.child, request: jwt.request },
    { label: OPEN, child: jwt.child, request: { ...jwt.request, path: '/open', headers: {} } }
  ]
  try {
    return {
      all: await measureTargets([...OPERATIONS.map(toTarget), ...rejectionTargets(presignd), ...bare], generator, plan),
      oneCaller: await measureTargets([...CREATES.map(toTarget), { ...toTarget(CREATES[0]), ...onPostgres, label: CREATE_ON_POSTGRES }], generator, { ...plan, connections: 1 })
    }
  } finally {
    await presignd.stop()
    await jwt.stop()
    await onPostgres.stop()
  }
}
