import { once } from 'node:events'
import { startNode } from './processes.js'

export type SignatureSide = 'port' | 'sdk' | 'hand'
type Sides = Record<SignatureSide, number>

export interface SignatureRound {
  /** Processor time per signature, in microseconds, on all sides. */
  readonly us: { readonly put: Sides, readonly part: Sides, readonly form: Sides }
  /** Calls whose signatures were recomputed so far. */
  readonly checked: number
}

/** @throws when a signature is wrong */
export async function measureSignatures (script: string, { rounds, batchMs }: { rounds: number, batchMs: number }): Promise<SignatureRound[]> {
  const child = startNode([script, String(rounds), String(batchMs * 1000)], { core: 1, env: {}, stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => { text += chunk })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`The bench of signatures ended with ${code}`)
  return text.trim().split('\n').map(line => JSON.parse(line))
}
