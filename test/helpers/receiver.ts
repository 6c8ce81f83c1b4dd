import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

export interface Received {
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** Someone who takes webhooks: remembers what came, and answers as the test says. */
export interface Receiver {
  readonly url: string
  readonly received: Received[]
  /** How many connections were made. */
  connections (): number
  /** 204 to everything until told otherwise. */
  answer (reply: (response: ServerResponse, received: Received) => void): void
}

export async function startReceiver (t: Test): Promise<Receiver> {
  const received: Received[] = []
  let connections = 0
  let reply = (response: ServerResponse, _received: Received): void => { response.writeHead(204).end() }
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk)).on('end', () => {
      const one = { headers: request.headers, body: Buffer.concat(chunks).toString() }
      received.push(one)
      reply(response, one)
    })
  })
  server.on('connection', () => { connections++ })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
    connections: () => connections,
    answer (change) { reply = change }
  }
}
