import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import autocannon from 'autocannon'
import type { Answers, Load } from './load.js'

/** Bodies kept of one load, spread over all of it. */
const SAMPLES = 20

/** Runs in its own process, so that its work is never counted as the server's. */
process.on('message', (load: Load) => {
  run(load).then(answers => process.send?.(answers), error => process.send?.({ failure: (error as Error).message }))
})

async function run (load: Load): Promise<Answers> {
  const statuses: Record<string, number> = {}
  const samples: string[] = []
  const latencies: number[] = []
  const every = Math.max(1, Math.floor(load.amount / SAMPLES))
  let count = 0
  let endedAt = 0
  const startedAt = performance.now()
  const errors = await (load.perSecond === undefined ? saturate : pace)(load, {
    answered (status, text) {
      statuses[status] = (statuses[status] ?? 0) + 1
      if (count++ % every === 0) samples.push(text)
      endedAt = performance.now()
    },
    took (milliseconds) { latencies.push(milliseconds) }
  })
  latencies.sort((left, right) => left - right)
  return { statuses, samples, errors, seconds: (endedAt - startedAt) / 1000, p99: latencies[Math.ceil(latencies.length * 0.99) - 1] ?? NaN }
}

interface Listener {
  answered (status: number, text: string): void
  took (milliseconds: number): void
}

/** @returns how many connections broke */
async function saturate ({ url, path, paths, method, headers, body, connections, amount }: Load, { answered, took }: Listener): Promise<number> {
  let next = 0
  const running = autocannon({
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
      onResponse: answered,
      ...(paths && { setupRequest: request => ({ ...request, path: paths[next++] ?? path }) })
    }]
  })
  running.on('response', (_client, _status, _bytes, milliseconds) => took(milliseconds))
  const { errors, timeouts } = await running
  return errors + timeouts
}

/** autocannon sends what is due within a second all at once: bursts, which is another question. */
async function pace ({ url, path, method, headers, body, connections, amount, perSecond = 1 }: Load, { answered, took }: Listener): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const begin = performance.now()
  let errors = 0
  const ask = async (dueAt: number): Promise<void> => {
    try {
      const asked = request(url + path, { method, headers, agent }).end(body)
      const [reply] = await once(asked, 'response')
      let text = ''
      for await (const chunk of reply.setEncoding('utf8')) text += chunk
      took(performance.now() - dueAt)
      answered(reply.statusCode, text)
    } catch {
      errors++
    }
  }
  const asked: Array<Promise<void>> = []
  while (asked.length < amount) {
    const dueAt = begin + asked.length * 1000 / perSecond
    const wait = dueAt - performance.now()
    if (wait > 0) await delay(wait)
    asked.push(ask(dueAt))
  }
  await Promise.all(asked)
  agent.destroy()
  return errors
}
