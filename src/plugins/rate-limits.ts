import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { ApiError } from '../errors.js'

export interface RateLimitOptions {
  /** Requests a minute; 0 is no limit. */
  readonly addressPerMinute: number
  readonly userPerMinute: number
}

const MINUTE_MS = 60_000
/** One household or office commonly has a whole /64: RFC 6177. */
const IPV6_PREFIX = 64

/** The first half of the limits: by address, before any token is looked at. Register it before authentication. */
export const addressRateLimit = fastifyPlugin(async (app: FastifyInstance, { addressPerMinute }: RateLimitOptions) => {
  await app.register(rateLimit, { global: false, ipv6Subnet: IPV6_PREFIX })
  if (addressPerMinute > 0) app.addHook('onRequest', limit(app, addressPerMinute))
}, { name: 'address-rate-limit' })

/** The second half: by user, whatever address they come from. Register it after authentication. */
export const userRateLimit = fastifyPlugin(async (app: FastifyInstance, { userPerMinute }: RateLimitOptions) => {
  if (userPerMinute === 0) return
  const limitUser = limit(app, userPerMinute, request => JSON.stringify([request.user.tenant, request.user.owner]))
  app.addHook('onRequest', async (request, reply) => {
    if (request.user) await limitUser(request, reply)
  })
}, { name: 'user-rate-limit', dependencies: ['address-rate-limit', 'authentication'] })

function limit (app: FastifyInstance, max: number, keyGenerator?: (request: FastifyRequest) => string) {
  const count = app.createRateLimit({ max, timeWindow: MINUTE_MS, ...(keyGenerator && { keyGenerator }) })
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const state = await count(request)
    if (state.isAllowed) return
    reply.headers({ 'ratelimit-limit': state.max, 'ratelimit-remaining': state.remaining, 'ratelimit-reset': state.ttlInSeconds })
    if (state.isExceeded) {
      throw new ApiError('RATE_LIMITED', `At most ${state.max} requests a minute are answered. Wait and try again.`, { retryAfterSeconds: Math.max(1, state.ttlInSeconds) })
    }
  }
}
