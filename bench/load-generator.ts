import autocannon from 'autocannon'
import type { Answers, Load } from './load.js'

/** Bodies kept of one load, spread over all of it. */
const SAMPLES = 20

/** Runs in its own process, so that its work is never counted as the server's. */
process.on('message', (load: Load) => {
  run(load).then(answers => process.send?.(answers), error => process.send?.({ failure: (error as Error).message }))
})

async function run ({ url, path, paths, method, headers, body, connections, amount }: Load): Promise<Answers> {
  const statuses: Record<string, number> = {}
  const samples: string[] = []
  const every = Math.max(1, Math.floor(amount / SAMPLES))
  let count = 0
  let next = 0
  let endedAt = 0
  const startedAt = performance.now()
  const onResponse = (status: number, text: string): void => {
    statuses[status] = (statuses[status] ?? 0) + 1
    if (count++ % every === 0) samples.push(text)
    endedAt = performance.now()
  }
  const { errors, timeouts } = await autocannon({
    url,
    connections,
    amount,
    timeout: 30,
    sampleInt: 50,
    requests: [{
      method,
      path,
      headers,
      ...(body !== undefined && { body }),
      onResponse,
      ...(paths && { setupRequest: request => ({ ...request, path: paths[next++] ?? path }) })
    }]
  })
  return { statuses, samples, errors: errors + timeouts, seconds: (endedAt - startedAt) / 1000 }
}
