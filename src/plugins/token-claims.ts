import { ApiError } from '../errors.js'
import { findClaim, type User } from '../user.js'

export interface ClaimNames {
  readonly ownerClaim: string
  readonly scopeClaim: string
  readonly tenantClaim?: string
}

/** Owners and tenants are columns and parts of keys: text without control characters, of at most 255 characters. */
const IDENTIFIER = /^[^\p{Cc}\p{Cs}]{1,255}$/u

/**
 * Who a verified token speaks for.
 * @throws {ApiError} UNAUTHENTICATED when the owner, or the tenant where one is configured, is not such a text
 */
export function toUser (claims: Readonly<Record<string, unknown>>, names: ClaimNames): User {
  return {
    owner: identifier(claims, names.ownerClaim),
    tenant: names.tenantClaim === undefined ? '' : identifier(claims, names.tenantClaim),
    scopes: new Set(scopes(findClaim(claims, names.scopeClaim))),
    claims
  }
}

/**
 * The same rule as for `aud` (RFC 7519 section 4.1.3), for another claim: it must be there and name one of us.
 * @throws {ApiError} UNAUTHENTICATED
 */
export function checkAudience (claims: Readonly<Record<string, unknown>>, claim: string, audiences: readonly string[]): void {
  const value = findClaim(claims, claim)
  const named = Array.isArray(value) ? value : [value]
  if (!named.some(audience => audiences.some(own => own === audience))) throw new ApiError('UNAUTHENTICATED', 'The token is not valid here.')
}

function identifier (claims: Readonly<Record<string, unknown>>, name: string): string {
  const value = findClaim(claims, name)
  if (typeof value === 'string' && IDENTIFIER.test(value)) return value
  throw new ApiError('UNAUTHENTICATED', `The token's claim "${name}" must be a text of 1 to 255 characters.`)
}

/** RFC 8693 section 4.2 has one string with spaces between; several providers send an array. */
function scopes (value: unknown): string[] {
  if (typeof value === 'string') return value.split(' ').filter(scope => scope !== '')
  return Array.isArray(value) ? value.filter(scope => typeof scope === 'string') : []
}
