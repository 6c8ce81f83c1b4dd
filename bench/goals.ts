import { CREATE, ON_POSTGRES, RIVALS } from './measure-rivals.js'
import type { SignatureRound } from './measure-signatures.js'
import type { TargetRound } from './measure-targets.js'
import type { Measure, Round } from './measure.js'
import { cheaperThan, signerRatio } from './ratios.js'
import { spread } from './statistics.js'

interface Goal { readonly what: string, readonly ratio: number, readonly least: number }

/** One sentence for each goal of README.md that was measured and is not reached. The median of the rounds counts. */
export function findMissed (create: readonly Round[], signatures: readonly SignatureRound[], rivals: readonly TargetRound[]): string[] {
  const cost = (label: string, round: TargetRound): number => (round.get(label) as Measure).cpuUsPerRequest
  const goals: Goal[] = [
    { what: '`POST /uploads` against bare Fastify + @fastify/jwt', ratio: cheaperThan('jwt', create).median, least: 0.5 },
    { what: 'A signature against `getSignedUrl`', ratio: signerRatio('put', signatures).median, least: 30 },
    { what: 'The URL of a part against `getSignedUrl`', ratio: signerRatio('part', signatures).median, least: 80 },
    { what: 'A form against `createPresignedPost`', ratio: signerRatio('form', signatures).median, least: 4 },
    ...(rivals.length === 0 ? [] : RIVALS.flatMap(({ label, against, goal }) => goal === null ? [] : [{ what: `${against}, against: ${label},`, ratio: spread(rivals.map(round => cost(label, round) / cost(against, round))).median, least: goal }])),
    ...(rivals.length === 0 ? [] : [{ what: '`POST /uploads` on PostgreSQL against SQLite', ratio: spread(rivals.map(round => cost(CREATE, round) / cost(ON_POSTGRES, round))).median, least: 1 / 1.2 }])
  ]
  return goals.filter(({ ratio, least }) => ratio < least).map(({ what, ratio, least }) => `${what} has ${times(ratio)} the capacity; the goal is ${times(least)}.`)
}

const times = (value: number): string => `${value.toFixed(value < 2 ? 2 : 1)} times`
