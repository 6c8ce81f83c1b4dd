import { besideOf, ON_POSTGRES, RIVALS } from './measure-rivals.js'
import type { SignatureRound } from './measure-signatures.js'
import type { TargetRound } from './measure-targets.js'
import type { Measure, Round } from './measure.js'
import { cheaperThan, signerRatio } from './ratios.js'
import { CREATES, type Operation } from './operations.js'
import type { Results } from './report.js'
import { spread } from './statistics.js'

const HUNDRED = CREATES.at(-1) as Operation

interface Goal { readonly what: string, readonly ratio: number, readonly least: number }

/** One sentence for each goal of README.md that was measured and is not reached. The median of the rounds counts. */
export function findMissed (create: readonly Round[], signatures: readonly SignatureRound[], { rivals, operations: { oneCaller }, starts }: Pick<Results, 'rivals' | 'operations' | 'starts'>): string[] {
  const cost = (label: string, round: TargetRound): number => (round.get(label) as Measure).cpuUsPerRequest
  const goals: Goal[] = [
    { what: '`POST /uploads` against bare Fastify + @fastify/jwt', ratio: cheaperThan('jwt', create).median, least: 0.5 },
    { what: 'A signature against `getSignedUrl`', ratio: signerRatio('put', signatures).median, least: 30 },
    { what: 'The URL of a part against `getSignedUrl`', ratio: signerRatio('part', signatures).median, least: 80 },
    { what: 'A form against `createPresignedPost`', ratio: signerRatio('form', signatures).median, least: 4 },
    ...(['put', 'part'] as const).map(kind => ({ what: `A signature (${kind}) against one that is written by hand`, ratio: signerRatio(kind, signatures, 'hand').median, least: 1 / 1.3 })),
    ...(rivals.length === 0 ? [] : RIVALS.flatMap(({ label, against, goal }) => goal === null ? [] : [{ what: `${against}, against: ${label},`, ratio: spread(rivals.map(round => cost(label, round) / cost(besideOf(label), round))).median, least: goal }])),
    ...(rivals.length === 0 ? [] : [{ what: '`POST /uploads` on PostgreSQL against SQLite', ratio: spread(rivals.map(round => cost(besideOf(ON_POSTGRES), round) / cost(ON_POSTGRES, round))).median, least: 1 / 1.2 }]),
    ...(oneCaller.length === 0 ? [] : [{ what: `A file of ${HUNDRED.label} against a call for it alone`, ratio: spread(oneCaller.map(round => cost(CREATES[0].label, round) / (cost(HUNDRED.label, round) / HUNDRED.items))).median, least: 5 }]),
    ...(starts.length === 0 ? [] : [{ what: 'The start of presignd against that of bare Fastify', ratio: spread(starts.map(({ presignd, jwt }) => jwt.readyCpuMs / presignd.readyCpuMs)).median, least: 1 / 1.3 }])
  ]
  return goals.filter(({ ratio, least }) => ratio < least).map(({ what, ratio, least }) => `${what} is ${times(ratio)} as cheap; the goal is ${times(least)}.`)
}

const times = (value: number): string => `${value.toFixed(value < 2 ? 2 : 1)} times`
