/** How long a verified token is believed at most. */
const MAX_AGE_MS = 60_000
const MAX_TOKENS = 1000
/** Longer ones are verified each time: what is remembered stays within a few megabytes. */
const MAX_TOKEN_LENGTH = 4096

export interface VerifiedToken<User> {
  readonly user: User
  /** Seconds since 1970: the claim `exp`. */
  readonly exp: number
  /** The key that it was verified with, and how to ask for the one that has its name now; none for a secret, which never changes while the process lives. */
  readonly key: { readonly value: string, find (): Promise<string> } | null
}

/**
 * Remembers tokens that have been verified, so that a client that asks often pays for a signature once a minute. A
 * token is forgotten at its `exp`, after a minute, and as soon as its key is not the one that the issuer publishes
 * under that name. Only ever the whole token is compared.
 */
export function createVerifiedTokens<User> ({ now, clockToleranceSeconds }: { readonly now: () => Date, readonly clockToleranceSeconds: number }) {
  const tokens = new Map<string, VerifiedToken<User> & { readonly endsAt: number }>()

  return {
    find (token: string): VerifiedToken<User> | undefined {
      const known = tokens.get(token)
      if (known === undefined || now().getTime() < known.endsAt) return known
      tokens.delete(token)
      return undefined
    },

    remember (token: string, verified: VerifiedToken<User>): void {
      if (token.length > MAX_TOKEN_LENGTH) return
      const [oldest] = tokens.size >= MAX_TOKENS ? tokens.keys() : []
      if (oldest !== undefined) tokens.delete(oldest)
      tokens.set(token, { ...verified, endsAt: Math.min(now().getTime() + MAX_AGE_MS, (verified.exp + clockToleranceSeconds) * 1000) })
    },

    forget (token: string): void {
      tokens.delete(token)
    }
  }
}
