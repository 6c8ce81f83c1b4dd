import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { png } from '../test/helpers/samples.js'
import type { compile } from './compile.js'
import { readCpuTime } from './cpu-time.js'
import type { LoadGenerator } from './load.js'
import type { Measure } from './measure.js'
import { benchEnvironment, startProgram, startServer } from './servers.js'

const PER_ROUND = 400
const CONNECTIONS = 50
const BATCH = 100

interface Created { readonly file: { readonly id: string }, readonly upload: { readonly url: string, readonly headers: Record<string, string> } }

/** `complete` of files that have arrived: it asks the store twice for each, and can be measured once for each. */
export async function measureComplete (fileOf: Awaited<ReturnType<typeof compile>>, parent: string, generator: LoadGenerator, rounds: number): Promise<Measure[]> {
  const folder = join(parent, 'complete')
  mkdirSync(folder)
  const common = { ...benchEnvironment(folder), S3_REGION: 'us-east-1' }
  const store = await startProgram('store', [fileOf('store')], { fileOf, folder, core: 0, env: { ...common, DATA_DIR: folder, NODE_ENV: 'test' } })
  const env = { ...common, S3_ENDPOINT: store.url, S3_FORCE_PATH_STYLE: 'true' }
  const presignd = await startServer('presignd', fileOf, folder, env)
  try {
    const { url, headers } = presignd.request
    const picture = png()
    const upload = { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length }

    async function prepare (): Promise<string[]> {
      const ids: string[] = []
      while (ids.length < PER_ROUND) {
        const reply = await fetch(`${url}/uploads/batch`, { method: 'POST', headers, body: JSON.stringify({ uploads: Array.from({ length: BATCH }, () => upload) }) })
        const { data } = await reply.json() as { data: Created[] }
        for (const { file, upload } of data) {
          const sent = await fetch(upload.url, { method: 'PUT', headers: upload.headers, body: picture })
          if (!sent.ok) throw new Error(`The store answered ${sent.status}: ${await sent.text()}`)
          ids.push(file.id)
        }
      }
      return ids
    }

    const results: Measure[] = []
    // One round more, to warm up.
    for (let round = 0; round <= rounds; round++) {
      const paths = (await prepare()).map(id => `/uploads/${id}/complete`)
      const before = await readCpuTime(presignd.child)
      const { samples, seconds, p99 } = await generator.run({ url, method: 'POST', path: '/', paths, headers, body: '{}', connections: CONNECTIONS, amount: paths.length })
      for (const body of samples) if ((JSON.parse(body) as { file: { status: string } }).file.status !== 'ready') throw new Error(`A file is not ready: ${body}`)
      if (round > 0) results.push({ cpuUsPerRequest: (await readCpuTime(presignd.child) - before) / paths.length, requestsPerSecond: paths.length / seconds, p99 })
    }
    return results
  } finally {
    await presignd.stop()
    await store.stop()
  }
}
