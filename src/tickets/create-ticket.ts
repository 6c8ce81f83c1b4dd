import { ApiError } from '../errors.js'
import { checkAdmission, getPolicy } from '../policies/check-upload.js'
import type { Services } from '../services.js'
import { findClaim, type User } from '../user.js'
import type { CreateTicketBody } from './schemas.js'
import { hashTicketToken, newTicketToken } from './ticket-token.js'
import type { Ticket } from './ticket.js'

const DEFAULT_MAX_FILES = 100
const DEFAULT_EXPIRES_IN_SECONDS = 3600
/** Four petabytes: what counters of bytes hold exactly. */
const MAX_COUNTED_BYTES = 2 ** 52

/**
 * Makes a ticket for a policy that admits the user now. The token is in the reply alone; its hash is kept, with
 * the scopes and claims that the policy asks for, so that the policy can be asked again whenever it is used.
 * @throws {ApiError} POLICY_NOT_FOUND, SCOPE_MISSING, POLICY_FORBIDDEN, INVALID_REQUEST
 */
export async function createTicket (services: Services, user: User, body: CreateTicketBody): Promise<{ ticket: Ticket, token: string }> {
  const policy = getPolicy(services.policies, body.policy)
  checkAdmission(policy, user)
  const maxFiles = body.maxFiles ?? DEFAULT_MAX_FILES
  const maxBytes = body.maxBytes ?? Math.min(maxFiles * policy.maxSizeBytes, MAX_COUNTED_BYTES)
  if (maxBytes < policy.minSizeBytes) {
    const message = `The policy "${policy.name}" takes files of at least ${policy.minSizeBytes} bytes.`
    throw new ApiError('INVALID_REQUEST', message, { errors: [{ path: '/maxBytes', message }] })
  }
  const now = services.now()
  const token = newTicketToken()
  const ticket: Ticket = {
    id: services.newId(),
    tenant: user.tenant,
    owner: user.owner,
    policy: policy.name,
    scopes: policy.requiredScopes,
    claims: Object.fromEntries([...policy.requiredClaims.keys()].map(name => [name, findClaim(user.claims, name)])),
    maxFiles,
    maxBytes,
    usedFiles: 0,
    usedBytes: 0,
    createdAt: now,
    expiresAt: new Date(now.getTime() + (body.expiresInSeconds ?? DEFAULT_EXPIRES_IN_SECONDS) * 1000)
  }
  await services.tickets.insert(ticket, hashTicketToken(token))
  return { ticket, token }
}
