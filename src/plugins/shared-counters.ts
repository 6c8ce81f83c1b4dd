import type { FastifyRateLimitStoreCtor } from '@fastify/rate-limit'
import type { Redis } from 'ioredis'

export interface SharedCounters {
  /** Counts in Redis, one space for each kind of limit, so that all processes count together. */
  readonly Store: FastifyRateLimitStoreCtor
  close (): void
}

/** How long a request may wait for its count. Without one it is let through: limits must not turn an outage of Redis into one of the service. */
const COMMAND_TIMEOUT_MS = 500

/** Counts one request in a window that begins with its first one, and says how many there were and when it ends. */
const COUNT = `
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return { count, redis.call('PTTL', KEYS[1]) }`

type Answer = Parameters<InstanceType<FastifyRateLimitStoreCtor>['incr']>[1]

/**
 * Connects, and again whenever the connection breaks.
 * @param url `redis://…` or `rediss://…`
 * @param onChange hears when Redis is lost and when it is back
 */
export async function connectSharedCounters (url: string, onChange: (isThere: boolean, cause?: Error) => void): Promise<SharedCounters> {
  // By its default export: the build knows no other names of a package written for CommonJS.
  const { default: { Redis } } = await import('ioredis')
  const redis = new Redis(url, { enableOfflineQueue: false, maxRetriesPerRequest: 0, commandTimeout: COMMAND_TIMEOUT_MS, connectTimeout: 2_000, connectionName: 'presignd', lazyConnect: true })
  let isThere: boolean | undefined
  const change = (now: boolean, cause?: Error): void => {
    if (isThere !== now) onChange(now, cause)
    isThere = now
  }
  // Without a listener a lost connection would end the process.
  redis.on('error', (cause: Error) => change(false, withoutCommand(cause))).on('ready', () => change(true))
  await redis.connect().catch((cause: Error) => change(false, withoutCommand(cause)))
  return {
    Store: storeIn(redis),
    close: () => redis.disconnect()
  }
}

/** The package hangs the command on its error, which at the start is AUTH with the password. */
function withoutCommand ({ message, code }: NodeJS.ErrnoException): Error {
  return Object.assign(new Error(message), code !== undefined && { code })
}

function storeIn (redis: Redis): FastifyRateLimitStoreCtor {
  return class RedisCounters {
    private readonly space: string

    constructor (options: { readonly space?: string }) {
      this.space = options.space ?? ''
    }

    incr (key: string, answer: Answer, windowMs: number = 60_000): void {
      redis.eval(COUNT, 1, `presignd:limit:${this.space}:${key}`, windowMs).then(result => {
        const [current = 0, ttl = 0] = result as number[]
        answer(null, { current, ttl })
      }, (error: Error) => answer(error))
    }

    child (options: { readonly space?: string }) {
      return new RedisCounters(options)
    }
  } as unknown as FastifyRateLimitStoreCtor
}
