/** Lets a client without a token upload under one policy, in its owner's name, until it ends or its caps are reached. */
export interface Ticket {
  readonly id: string
  readonly tenant: string
  readonly owner: string
  readonly policy: string
  /** Those of the owner's scopes that the policy asked for when the ticket was made. */
  readonly scopes: readonly string[]
  /** The claims that the policy asked for, by the names it uses. */
  readonly claims: Readonly<Record<string, unknown>>
  readonly maxFiles: number
  readonly maxBytes: number
  /** What was ever created with it: uploads that ended otherwise than ready count, too. */
  readonly usedFiles: number
  readonly usedBytes: number
  readonly createdAt: Date
  readonly expiresAt: Date
}
