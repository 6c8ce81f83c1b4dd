import type { SignatureRound } from './measure-signatures.js'
import type { Round } from './measure.js'
import type { ServerName } from './servers.js'
import { spread, type Spread } from './statistics.js'

/** How much cheaper presignd is than this rival, in processor time per request, round by round. */
export function cheaperThan (rival: ServerName, rounds: readonly Round[]): Spread {
  return spread(rounds.map(round => round[rival].cpuUsPerRequest / round.presignd.cpuUsPerRequest))
}

/** How much cheaper a signature of presignd is than one of another side, round by round. */
export function signerRatio (kind: keyof SignatureRound['us'], rounds: readonly SignatureRound[], side: 'sdk' | 'hand' = 'sdk'): Spread {
  return spread(rounds.map(({ us }) => us[kind][side] / us[kind].port))
}
