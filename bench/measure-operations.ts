import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { compile } from './compile.js'
import type { LoadGenerator } from './load.js'
import { createMeter, type Measure, type Plan } from './measure.js'
import { OPERATIONS, seed } from './operations.js'
import { benchEnvironment, startServer } from './servers.js'

/** One measure of each operation, by its label, and one of the bare server. */
export interface OperationRound {
  readonly jwt: Measure
  readonly operations: ReadonlyMap<string, Measure>
}

/** Every operation by turns, on a service and a database of their own. */
export async function measureOperations (fileOf: Awaited<ReturnType<typeof compile>>, parent: string, generator: LoadGenerator, plan: Plan): Promise<OperationRound[]> {
  const folder = join(parent, 'operations')
  mkdirSync(folder)
  const env = benchEnvironment(folder)
  await seed(env['DATABASE_URL'] as string)
  const presignd = await startServer('presignd', fileOf, folder, env)
  const jwt = await startServer('jwt', fileOf, folder, env)
  const { url, headers } = presignd.request
  const targets = OPERATIONS.map(({ label, request, check }) => ({ label, check, child: presignd.child, request: { url, headers, ...request } }))
  const measure = createMeter(generator, plan)
  try {
    const rounds: OperationRound[] = []
    for (let round = 0; round < plan.rounds; round++) {
      const operations = new Map<string, Measure>()
      for (let turn = 0; turn < targets.length; turn++) {
        const target = targets[(round + turn) % targets.length] as typeof targets[number]
        operations.set(target.label, await measure(target, ({ check }, _amount, samples) => { samples.forEach(check) }))
      }
      rounds.push({ jwt: await measure(jwt, () => {}), operations })
    }
    return rounds
  } finally {
    await presignd.stop()
    await jwt.stop()
  }
}
