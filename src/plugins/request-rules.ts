import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { ApiError } from '../errors.js'

/**
 * Refuses what Node and @fastify/cors would refuse by themselves, with an empty body or in plain text. Register it before
 * cors, in an app whose server does not ask for a Host by itself.
 */
export const requestRules = fastifyPlugin(async (app: FastifyInstance) => {
  const unmet = new WeakSet<IncomingMessage>()
  // Node asks only for what it does not know: 100-continue it answers itself.
  app.server.on('checkExpectation', (request, response) => {
    unmet.add(request)
    app.routing(request, response)
  })

  app.addHook('onRequest', ({ raw, headers }, _reply, done) => {
    // RFC 9112 section 3.2. HTTP/1.0 had no such header.
    if (headers.host === undefined && raw.httpVersion !== '1.0') return done(new ApiError('INVALID_REQUEST', 'The request has no Host header.'))
    if (headers.expect !== undefined && unmet.has(raw)) return done(new ApiError('INVALID_REQUEST', 'The only expectation that is met here is 100-continue.'))
    if (raw.method === 'OPTIONS' && !(headers.origin && headers['access-control-request-method'])) return done(new ApiError('NOT_FOUND', 'OPTIONS is answered to browsers that ask what a page may send. The API is described at /openapi.yaml.'))
    done()
  })
}, { name: 'request-rules' })
