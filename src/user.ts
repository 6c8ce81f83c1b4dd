import { ApiError } from './errors.js'

/** Lets a token act on any owner's files within its own tenant. */
export const ADMIN_SCOPE = 'files:admin'

/** Lets a token read files that are scanned, of any owner within its own tenant, and say what was found. */
export const SCAN_SCOPE = 'files:scan'

/** Who is calling, as the verified token says. */
export interface User {
  /** The owner claim: never empty. */
  readonly owner: string
  /** The tenant claim; the empty string where tenants are not configured. */
  readonly tenant: string
  readonly scopes: ReadonlySet<string>
  readonly claims: Readonly<Record<string, unknown>>
  /** The upload ticket that speaks for the user, when it is one: whatever it creates is counted against it. */
  readonly ticket?: { readonly id: string, readonly policy: string, readonly maxBytes: number }
}

/** Whose rows a query may touch. Without `owner` it is every owner of the tenant. */
export interface OwnerScope {
  readonly tenant: string
  readonly owner?: string
}

export function isAdmin (user: User): boolean {
  return user.scopes.has(ADMIN_SCOPE)
}

/** @throws {ApiError} SCOPE_MISSING */
export function checkAdmin (user: User): void {
  if (!isAdmin(user)) throw new ApiError('SCOPE_MISSING', `This needs a token with the scope ${ADMIN_SCOPE}.`)
}

export function isScanner (user: User): boolean {
  return user.scopes.has(SCAN_SCOPE)
}

/** The rows this user may read and change: their own, or with `files:admin` all of their tenant. */
export function ownerScope (user: User): OwnerScope {
  return isAdmin(user) ? { tenant: user.tenant } : { tenant: user.tenant, owner: user.owner }
}

/**
 * A claim by its exact name, or else by a path with dots (`app_metadata.tenant`). Claims named by a URL, as
 * Auth0 makes them, are found by the first rule.
 */
export function findClaim (claims: Readonly<Record<string, unknown>>, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name]
  let value: unknown = claims
  for (const step of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = (value as Record<string, unknown>)[step]
  }
  return value
}
