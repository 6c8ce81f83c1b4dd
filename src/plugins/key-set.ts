import { KeyObject } from 'node:crypto'
import { createRemoteJWKSet, errors as joseErrors, type JWTHeaderParameters } from 'jose'
import { ApiError } from '../errors.js'

/** How long keys are used before they are fetched again: a key that was taken out is refused after that. */
const FRESH_MS = 600_000
/** How long keys are still used while the issuer does not answer. */
const MAX_STALE_MS = 3_600_000
/** How long a failed fetch, or one for a key id that nobody knows, is not repeated. */
const COOLDOWN_MS = 30_000
const FETCH_TIMEOUT_MS = 5_000

export interface KeySetOptions {
  readonly issuer: string
  /** Left out, it comes from the issuer's discovery document. */
  readonly jwksUrl?: string
  readonly now: () => Date
}

/** The public keys of one issuer. Where they come from is configuration: nothing in a token is ever followed. */
export interface KeySet {
  /**
   * The public key, in PEM, that a token's header names; null when the issuer has no such key.
   * @throws {ApiError} AUTH_UNAVAILABLE when the keys cannot be fetched and none are fresh enough
   */
  findKey (header: { readonly kid?: string, readonly alg: string }): Promise<string | null>
  /** Whether tokens can be checked, for the detail of `/readyz`. Keys that are due are fetched meanwhile, and nobody waits for them. */
  isAvailable (): boolean
  /**
   * What the issuer publishes at this moment, for people who look for a mistake.
   * @throws what kept the keys from being fetched
   */
  fetchKeys (): Promise<ReadonlyArray<{ readonly kty?: string, readonly crv?: string, readonly use?: string }>>
}

/** @see https://openid.net/specs/openid-connect-discovery-1_0.html section 4 */
export function createKeySet ({ issuer, jwksUrl, now }: KeySetOptions): KeySet {
  let remote: ReturnType<typeof createRemoteJWKSet> | undefined
  let loading: Promise<void> | undefined
  let loadedAt = -Infinity
  let failedAt = -Infinity
  let failure: unknown
  const pems = new WeakMap<object, string>()

  async function load (): Promise<void> {
    remote ??= createRemoteJWKSet(new URL(jwksUrl ?? await discoverJwksUrl(issuer)), {
      timeoutDuration: FETCH_TIMEOUT_MS,
      // Age and pauses are handled here: old keys can outlive an outage, and what failed is not repeated for each token.
      cacheMaxAge: Infinity,
      cooldownDuration: Infinity
    })
    // It takes no page that says "maintenance" for keys: then those at hand grow older.
    await remote.reload()
    loadedAt = now().getTime()
  }

  /** One fetch at a time; after a failure none for a while. */
  async function refresh (): Promise<void> {
    if (now().getTime() - failedAt < COOLDOWN_MS) return
    loading ??= load().catch(error => {
      failedAt = now().getTime()
      failure = error
    }).finally(() => { loading = undefined })
    await loading
  }

  const age = (): number => now().getTime() - loadedAt
  const isUsable = (): boolean => age() <= MAX_STALE_MS

  async function findAtHand (header: JWTHeaderParameters): Promise<string | null> {
    if (!remote || !isUsable()) throw unavailable(failure)
    try {
      const key = await remote(header)
      let pem = pems.get(key)
      if (pem === undefined) {
        pem = KeyObject.from(key).export({ type: 'spki', format: 'pem' }).toString()
        pems.set(key, pem)
      }
      return pem
    } catch (error) {
      if (isUnknownKey(error)) return null
      throw unavailable(error)
    }
  }

  return {
    isAvailable () {
      // It never fails.
      if (age() > FRESH_MS) refresh().catch(() => {})
      return isUsable()
    },

    async fetchKeys () {
      await load()
      return remote?.jwks()?.keys ?? []
    },

    async findKey (header) {
      if (age() > FRESH_MS) await refresh()
      const pem = await findAtHand(header)
      if (pem !== null || age() < COOLDOWN_MS) return pem
      // It may be new. Whether it is, only an issuer that answers can tell.
      await refresh()
      if (failedAt > loadedAt) throw unavailable(failure)
      return await findAtHand(header)
    }
  }
}

async function discoverJwksUrl (issuer: string): Promise<string> {
  const response = await fetch(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, { redirect: 'error', signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) })
  if (!response.ok) throw new Error(`The discovery document of the issuer answers ${response.status}`)
  const document = await response.json() as { issuer?: unknown, jwks_uri?: unknown }
  if (document.issuer !== issuer) throw new Error('The discovery document names another issuer')
  if (typeof document.jwks_uri !== 'string') throw new Error('The discovery document has no jwks_uri')
  return document.jwks_uri
}

/** What the token names is not among the keys at hand. */
function isUnknownKey (error: unknown): boolean {
  return error instanceof joseErrors.JWKSNoMatchingKey || error instanceof joseErrors.JWKSMultipleMatchingKeys || error instanceof joseErrors.JOSENotSupported
}

function unavailable (cause: unknown): ApiError {
  return new ApiError('AUTH_UNAVAILABLE', 'The keys to check tokens with cannot be fetched. Your token may be good: try again in a moment.', { cause, retryAfterSeconds: 5 })
}
