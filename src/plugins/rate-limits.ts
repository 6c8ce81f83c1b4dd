import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { ApiError } from '../errors.js'
import { connectSharedCounters, type SharedCounters } from './shared-counters.js'

export interface RateLimitOptions {
  /** Requests a minute; 0 is no limit. */
  readonly addressPerMinute: number
  readonly userPerMinute: number
  /** Requests with `limit: 'parts'` by a user, in place of the others; from an address it is twice as many. */
  readonly partsPerMinute: number
  /** Where several processes count together; each by itself when left out. */
  readonly redisUrl?: string
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The URLs of the parts of one file may be asked for one by one, thousands of times: they are counted by themselves. */
    limit?: 'parts'
  }
}

const MINUTE_MS = 60_000
/** One household or office commonly has a whole /64: RFC 6177. */
const IPV6_PREFIX = 64

/** The first half of the limits: by address, before any token is looked at. Register it before authentication. */
export const addressRateLimit = fastifyPlugin(async (app: FastifyInstance, { addressPerMinute, partsPerMinute, redisUrl }: RateLimitOptions) => {
  const counters = redisUrl === undefined ? undefined : await connect(app, redisUrl)
  await app.register(rateLimit, { global: false, ipv6Subnet: IPV6_PREFIX, skipOnError: true, ...(counters && { store: counters.Store }) })
  const limitAddress = limit(app, 'address', addressPerMinute)
  const limitParts = limit(app, 'address-parts', 2 * partsPerMinute)
  app.addHook('onRequest', (request, reply, done) => {
    const limited = (isOfParts(request) ? limitParts : limitAddress)?.(request, reply)
    if (limited) limited.then(() => done(), done)
    else done()
  })
}, { name: 'address-rate-limit' })

/** The second half: by user, whatever address they come from. Register it after authentication. */
export const userRateLimit = fastifyPlugin(async (app: FastifyInstance, { userPerMinute, partsPerMinute }: RateLimitOptions) => {
  const byUser = (request: FastifyRequest): string => JSON.stringify([request.user.tenant, request.user.owner])
  const limitUser = limit(app, 'user', userPerMinute, byUser)
  const limitParts = limit(app, 'user-parts', partsPerMinute, byUser)
  app.addHook('onRequest', (request, reply, done) => {
    const limited = request.user ? (isOfParts(request) ? limitParts : limitUser)?.(request, reply) : undefined
    if (limited) limited.then(() => done(), done)
    else done()
  })
}, { name: 'user-rate-limit', dependencies: ['address-rate-limit', 'authentication'] })

function isOfParts (request: FastifyRequest): boolean {
  return request.routeOptions.config.limit === 'parts'
}

async function connect (app: FastifyInstance, redisUrl: string): Promise<SharedCounters> {
  const counters = await connectSharedCounters(redisUrl, (isThere, err) => {
    if (isThere) app.log.info('rate limits are counted in Redis')
    else app.log.warn({ err }, 'Redis does not answer: requests are not limited until it does')
  })
  app.addHook('onClose', async () => counters.close())
  return counters
}

/**
 * @param space keeps the counts of different limits apart
 * @param max 0 is no limit
 */
function limit (app: FastifyInstance, space: string, max: number, keyGenerator?: (request: FastifyRequest) => string) {
  if (max === 0) return null
  const options = { max, timeWindow: MINUTE_MS, space, ...(keyGenerator && { keyGenerator }) }
  const count = app.createRateLimit(options)
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const state = await count(request)
    if (state.isAllowed) return
    reply.headers({ 'ratelimit-limit': state.max, 'ratelimit-remaining': state.remaining, 'ratelimit-reset': state.ttlInSeconds })
    if (state.isExceeded) {
      throw new ApiError('RATE_LIMITED', `At most ${state.max} requests a minute are answered. Wait and try again.`, { retryAfterSeconds: Math.max(1, state.ttlInSeconds) })
    }
  }
}
