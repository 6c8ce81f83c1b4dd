import type { ChildProcess } from 'node:child_process'
import type { Load, LoadGenerator } from './load.js'
import { createMeter, UNCOUNTED, type Measure, type Plan } from './measure.js'

export interface Target {
  readonly label: string
  readonly child: ChildProcess
  readonly request: Omit<Load, 'connections' | 'amount'>
  /** @throws when a reply does not hold what it should */
  readonly check?: (body: string) => void
}

/** One measure of each target, by its label. */
export type TargetRound = ReadonlyMap<string, Measure>

/**
 * Loads one target after the other, each round in another order.
 * @param together so many that follow each other are compared, and do so in every round
 */
export async function measureTargets (targets: readonly Target[], generator: LoadGenerator, plan: Plan, together = 1): Promise<TargetRound[]> {
  const measure = createMeter(generator, plan)
  const rounds: TargetRound[] = []
  for (let round = UNCOUNTED; round < plan.rounds; round++) {
    const measures = new Map<string, Measure>()
    for (let turn = 0; turn < targets.length; turn++) {
      const target = targets[((round - UNCOUNTED) * together + turn) % targets.length] as Target
      measures.set(target.label, await measure(target, ({ check }, _amount, samples) => { if (check) samples.forEach(check) }))
    }
    if (round >= 0) rounds.push(measures)
  }
  return rounds
}
