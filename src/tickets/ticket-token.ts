import { createHash, randomBytes } from 'node:crypto'

/** 256 bits that nobody can guess, in letters that a path takes as they are. */
export function newTicketToken (): string {
  return randomBytes(32).toString('base64url')
}

/** What is kept of a token. Without a salt: there is nothing to guess in 256 random bits. */
export function hashTicketToken (token: string): string {
  return createHash('sha256').update(token).digest('base64')
}
