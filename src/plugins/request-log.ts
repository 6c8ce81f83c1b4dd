import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'

export interface RequestLogOptions { readonly isDraining: () => boolean }

/**
 * One line per request, with the pattern of its route: never its URL, whose query and ids are the client's.
 * Every reply names its request, and none of them may be cached or passed on as a referrer.
 */
export const requestLog = fastifyPlugin(async (app: FastifyInstance, { isDraining }: RequestLogOptions) => {
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id)
    reply.header('cache-control', 'no-store')
  })
  app.addHook('onSend', async (_request, reply) => {
    // Without it, clients keep their connections and the process cannot end.
    if (isDraining()) reply.header('connection', 'close')
  })
  app.addHook('onResponse', async (request, reply) => {
    request.log.info({
      method: request.method,
      route: request.routeOptions.url ?? 'none',
      status: reply.statusCode,
      milliseconds: Math.round(reply.elapsedTime * 10) / 10,
      address: request.ip
    }, 'request')
  })
}, { name: 'request-log' })
