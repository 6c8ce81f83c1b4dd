import type { Services } from '../services.js'
import type { User } from '../user.js'
import { hashTicketToken } from './ticket-token.js'

/** Whom a ticket speaks for: its owner, with no more scopes and claims than its policy asked for; null when it is good for nothing. */
export async function findTicketUser ({ tickets, now }: Services, token: string): Promise<User | null> {
  const ticket = await tickets.findLive(hashTicketToken(token), now())
  if (!ticket) return null
  const { id, owner, tenant, scopes, claims, policy, maxBytes } = ticket
  return { owner, tenant, scopes: new Set(scopes), claims, ticket: { id, policy, maxBytes } }
}
