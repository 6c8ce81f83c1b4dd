import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { compile } from './compile.js'
import type { LoadGenerator } from './load.js'
import { readResidentMiB } from './resident-memory.js'
import { benchEnvironment, startServer } from './servers.js'

export interface Soak {
  readonly requests: number
  /** Resident memory after a quarter of the time, and at the end. */
  readonly quarterMiB: number
  readonly endMiB: number
  /** Of a straight line through the last three quarters. */
  readonly kibPerThousandRequests: number
}

const CONNECTIONS = 50
const PER_SAMPLE = 10_000

/** `POST /uploads` without a pause, and whether memory follows the number of requests. */
export async function measureSoak (fileOf: Awaited<ReturnType<typeof compile>>, parent: string, generator: LoadGenerator, minutes: number): Promise<Soak> {
  const folder = join(parent, 'soak')
  mkdirSync(folder)
  const presignd = await startServer('presignd', fileOf, folder, benchEnvironment(folder))
  try {
    const samples: Array<readonly [requests: number, mib: number]> = []
    const begin = performance.now()
    const end = begin + minutes * 60_000
    let requests = 0
    for (let now = begin; now < end; now = performance.now()) {
      await generator.run({ ...presignd.request, connections: CONNECTIONS, amount: PER_SAMPLE })
      requests += PER_SAMPLE
      if (now - begin >= (end - begin) / 4) samples.push([requests, readResidentMiB(presignd.child)])
    }
    const [[, quarterMiB], [, endMiB]] = [samples[0], samples.at(-1)] as [readonly [number, number], readonly [number, number]]
    return { requests, quarterMiB, endMiB, kibPerThousandRequests: slope(samples) * 1024 * 1000 }
  } finally {
    await presignd.stop()
  }
}

/** Least squares. */
function slope (points: ReadonlyArray<readonly [x: number, y: number]>): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
  const [x, y] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))]
  const across = points.reduce((sum, [px]) => sum + (px - x) ** 2, 0)
  return across === 0 ? 0 : points.reduce((sum, [px, py]) => sum + (px - x) * (py - y), 0) / across
}
