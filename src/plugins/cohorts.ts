import { AsyncResource } from 'node:async_hooks'
import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { createCohorts } from '../cohorts.js'

/**
 * Requests that arrive in one turn of the event loop keep step: all are authenticated, then all are looked up, then all
 * are answered. Each await is a step of all of them. Register it first.
 */
export const cohorts = fastifyPlugin(async (app: FastifyInstance) => {
  const arrived = createCohorts()
  const validated = createCohorts()
  app.addHook('onRequest', (_request, _reply, done) => arrived(done))
  // Bodies have been read one by one in between. A span is of the request that waits, not of the one that ends the wait.
  app.addHook('preHandler', (request, _reply, done) => validated(request.span ? AsyncResource.bind(done) : done))
}, { name: 'cohorts' })
