import type { SignatureRound } from './measure-signatures.js'
import type { Round } from './measure.js'
import { cheaperThan, signerRatio } from './ratios.js'

/** Reached with room to spare, also on a busy machine: below these something has gone wrong. The goals themselves are in README.md. */
const MIN_SIGNER_VS_SDK = 15
const MIN_CREATE_VS_TUTORIAL = 2

/** One sentence for each ratio that is worse than it must be. */
export function findMissed (create: readonly Round[], signatures: readonly SignatureRound[]): string[] {
  const goals: ReadonlyArray<readonly [what: string, ratio: number, min: number]> = [
    ['A signature against getSignedUrl', signerRatio('put', signatures).median, MIN_SIGNER_VS_SDK],
    ['POST /uploads against the tutorial service', cheaperThan('tutorial', create).median, MIN_CREATE_VS_TUTORIAL]
  ]
  return goals.filter(([, ratio, min]) => ratio < min).map(([what, ratio, min]) => `${what} is ${ratio.toFixed(1)} times cheaper; it must be ${min} times.`)
}
