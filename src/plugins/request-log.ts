import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'

export interface RequestLogOptions {
  readonly isDraining: () => boolean
  readonly onRequest: (method: string, route: string, status: number, seconds: number) => void
}

/**
 * One line per request, with the pattern of its route: never its URL, whose query and ids are the client's.
 * Every reply names its request, and none of them may be cached or passed on as a referrer.
 */
export const requestLog = fastifyPlugin(async (app: FastifyInstance, { isDraining, onRequest }: RequestLogOptions) => {
  // Nothing of a client's is in these lines but what is named below, so that nothing has to be searched for secrets.
  const log = app.log.child({}, { redact: [] }) as FastifyBaseLogger
  // Callbacks, since three promises for every request would only be waited for.
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers({ 'x-request-id': request.id, 'cache-control': 'no-store' })
    done()
  })
  app.addHook('onSend', (_request, reply, _payload, done) => {
    // Without it, clients keep their connections and the process cannot end.
    if (isDraining()) reply.header('connection', 'close')
    done()
  })
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'none'
    onRequest(request.method, route, reply.statusCode, reply.elapsedTime / 1000)
    log.info({
      reqId: request.id,
      // By the name that the log of OpenTelemetry has for it.
      ...(request.span && { trace_id: request.span.traceId }),
      method: request.method,
      route,
      status: reply.statusCode,
      milliseconds: Math.round(reply.elapsedTime * 10) / 10,
      address: request.ip
    }, 'request')
    done()
  })
}, { name: 'request-log' })
