import jwt from '@fastify/jwt'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { ApiError } from '../errors.js'
import type { User } from '../user.js'
import { createKeySet, type KeySet } from './key-set.js'
import { findCookieToken } from './cookie-token.js'
import { checkAudience, toUser, type ClaimNames } from './token-claims.js'
import { createVerifiedTokens, type VerifiedToken } from './verified-tokens.js'

declare module '@fastify/jwt' {
  interface FastifyJWT { payload: Record<string, unknown>, user: User }
}
declare module 'fastify' {
  interface FastifyInstance {
    /** Whether the keys of the issuer are at hand, which is not waited for; null with a shared secret. */
    readonly areKeysAvailable: (() => boolean) | null
  }
  interface FastifyContextConfig {
    /**
     * Every route asks for a token unless it says otherwise here. With `optional`, one that is sent must be good;
     * with `cookie` it may come in the configured cookie; with `ticket` it is an upload ticket in the path.
     */
    authentication?: 'required' | 'optional' | 'none' | 'cookie' | 'ticket'
  }
}

export interface AuthenticationOptions extends ClaimNames {
  readonly keys: { readonly secret: string } | { readonly issuer: string, readonly jwksUrl?: string }
  readonly issuer?: string
  readonly audiences?: readonly string[]
  /** `aud`, but for issuers whose tokens have none. */
  readonly audienceClaim: string
  readonly clockToleranceSeconds: number
  readonly now: () => Date
  /** Null for a ticket that is good for nothing. */
  readonly findTicketUser: (ticket: string) => Promise<User | null>
  /** The cookie that may hold the token, and the origins whose pages may have it sent besides the service's own. */
  readonly cookie?: { readonly name: string, readonly origins: readonly string[] }
}

/** What each kind of key can sign; a token's own `alg` only chooses among these. RFC 8725 section 3.1. */
const SECRET_ALGORITHMS = ['HS256', 'HS384', 'HS512'] as const
const KEY_PAIR_ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'] as const

/** Verifies the token of every request, before its body is read, and sets `request.user`. */
export const authentication = fastifyPlugin(async (app: FastifyInstance, options: AuthenticationOptions) => {
  const { keys } = options
  const hasOwnAudienceClaim = options.audiences !== undefined && options.audienceClaim !== 'aud'
  const keySet = 'secret' in keys ? null : createKeySet({ ...keys, now: options.now })
  app.decorate('areKeysAvailable', keySet && (() => keySet.isAvailable()))
  const usedKeys = new WeakMap<FastifyRequest, NonNullable<VerifiedToken<User>['key']>>()
  const verified = createVerifiedTokens<User>(options)
  await app.register(jwt, {
    secret: keySet
      ? async (request: FastifyRequest, token: unknown) => {
        const { header } = token as { header: TokenHeader }
        const find = async (): Promise<string> => await findKey(keySet, header)
        const value = await find()
        usedKeys.set(request, { value, find })
        return value
      }
      : (keys as { readonly secret: string }).secret,
    decode: { complete: true },
    verify: {
      algorithms: keySet ? [...KEY_PAIR_ALGORITHMS] : [...SECRET_ALGORITHMS],
      // Without this list a token that simply lacks a claim passes the checks on it.
      requiredClaims: ['exp', ...(options.audiences && !hasOwnAudienceClaim ? ['aud'] : []), ...(options.issuer === undefined ? [] : ['iss'])],
      ...(options.audiences && !hasOwnAudienceClaim && { allowedAud: [...options.audiences] }),
      ...(options.issuer !== undefined && { allowedIss: options.issuer }),
      clockTolerance: options.clockToleranceSeconds * 1000,
      // Its cache knows nothing of keys that are taken back.
      cache: false
    },
    formatUser (claims) {
      if (hasOwnAudienceClaim) checkAudience(claims, options.audienceClaim, options.audiences ?? [])
      return toUser(claims, options)
    }
  })

  async function verify (request: FastifyRequest, token: string): Promise<void> {
    const known = verified.find(token)
    if (known && (known.key === null || await known.key.find() === known.key.value)) {
      request.user = known.user
      return
    }
    verified.forget(token)
    await withoutStacks(async () => await request.jwtVerify())
    verified.remember(token, { user: request.user, exp: request.user.claims['exp'] as number, key: usedKeys.get(request) ?? null })
  }

  app.addHook('onRequest', (request, _reply, done) => {
    const mode = request.is404 ? 'none' : request.routeOptions.config.authentication ?? 'required'
    const { authorization } = request.headers
    if (mode === 'none' || (mode === 'optional' && authorization === undefined)) return done()
    const known = authorization === undefined || mode === 'ticket' ? undefined : verified.find(authorization)
    // The common case waits for nothing.
    if (known?.key === null) {
      request.user = known.user
      return done()
    }
    authenticate(request, mode).then(() => done(), done)
  })

  async function authenticate (request: FastifyRequest, mode: 'required' | 'optional' | 'cookie' | 'ticket'): Promise<void> {
    if (mode === 'ticket') {
      request.user = await getTicketUser(request, options.findTicketUser)
      return
    }
    const cookie = mode === 'cookie' && options.cookie ? findCookieToken(request, options.cookie) : undefined
    try {
      // From here on it is a token like any other, whichever way it came.
      if (cookie !== undefined) request.headers.authorization = `Bearer ${cookie}`
      await verify(request, request.headers.authorization ?? '')
    } catch (error) {
      throw error instanceof ApiError ? error : unauthenticated(error as Error & { code?: string })
    }
  }
}, { name: 'authentication' })

/**
 * A token that is refused makes two errors on its way here, whose stacks say nothing and take longer than verifying it: refusing would cost
 * more than serving. Only what happens in this turn of the event loop is without them.
 */
function withoutStacks <T> (work: () => T): T {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return work()
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

interface TokenHeader { readonly kid?: string, readonly alg: string }

/** @throws {ApiError} UNAUTHENTICATED, with the same words for a ticket that is unknown, over or revoked */
async function getTicketUser (request: FastifyRequest, findTicketUser: AuthenticationOptions['findTicketUser']): Promise<User> {
  const { ticket } = request.params as { ticket: string }
  const user = await findTicketUser(ticket)
  if (!user) throw new ApiError('UNAUTHENTICATED', 'The upload ticket is not valid, or not any more. Ask for a new one.')
  return user
}

/** @throws {ApiError} UNAUTHENTICATED, and AUTH_UNAVAILABLE */
async function findKey (keySet: KeySet, header: TokenHeader): Promise<string> {
  const key = KEY_PAIR_ALGORITHMS.some(algorithm => algorithm === header.alg) ? await keySet.findKey(header) : null
  if (key === null) throw new ApiError('UNAUTHENTICATED', 'The token is signed with a key or an algorithm that is not accepted here.')
  return key
}

/** Says what a developer can act on, and nothing of keys or of what exactly did not match. */
function unauthenticated (error: Error & { code?: string }): ApiError {
  const detail = error.code === 'FST_JWT_NO_AUTHORIZATION_IN_HEADER'
    ? 'Send a token: Authorization: Bearer …'
    : error.code === 'FST_JWT_AUTHORIZATION_TOKEN_EXPIRED' ? 'The token has expired. Get a new one.' : 'The token is not valid here.'
  return new ApiError('UNAUTHENTICATED', detail, { cause: error })
}
