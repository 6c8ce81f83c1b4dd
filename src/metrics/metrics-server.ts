import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Prometheus } from './prometheus.js'

export interface MetricsServer {
  readonly port: number
  close (): Promise<void>
}

/** A port of its own, which nothing but the scraper needs to reach: `GET /metrics` and nothing else. */
export async function serveMetrics (prometheus: Prometheus, host: string, port: number): Promise<MetricsServer> {
  const server = createServer((request, reply) => {
    const isAsked = request.method === 'GET' && request.url?.split('?', 1)[0] === '/metrics'
    if (!isAsked) reply.writeHead(404).end()
    else prometheus.render().then(page => reply.writeHead(200, { 'content-type': prometheus.contentType }).end(page), () => reply.writeHead(500).end())
  })
  server.listen(port, host)
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async close () {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    }
  }
}
