import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'

/** The part of tracing that is needed here. */
interface RequestSpan {
  readonly traceId: string
  run (work: () => void): void
  end (route: string, status: number, problemCode: string | null): void
}

declare module 'fastify' {
  interface FastifyRequest {
    /** There where requests are traced, and this one is. */
    span?: RequestSpan | null
  }
}

export interface RequestSpansOptions {
  readonly startRequest: (method: string, headers: Readonly<Record<string, unknown>>) => RequestSpan
}

/** Asked for every few seconds, and of no interest. */
const PROBES = new Set(['/livez', '/readyz', '/health'])

/** One span for each request that is no probe, around all that is done for it. */
export const requestSpans = fastifyPlugin(async (app: FastifyInstance, { startRequest }: RequestSpansOptions) => {
  app.decorateRequest('span', null)
  app.addHook('onRequest', (request, _reply, done) => {
    if (PROBES.has(request.routeOptions.url ?? '')) return done()
    const span = startRequest(request.method, request.headers)
    request.span = span
    // Fastify keeps it over the arrival of the body, too.
    span.run(done)
  })
  app.addHook('onResponse', (request, reply, done) => {
    request.span?.end(request.routeOptions.url ?? 'none', reply.statusCode, request.problemCode)
    done()
  })
}, { name: 'request-spans' })
