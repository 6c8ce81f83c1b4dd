import { Type, type Static } from '@sinclair/typebox'
import type { Ticket } from './ticket.js'

/** Longer than that, and a page should ask for a new one. */
const MAX_EXPIRES_IN_SECONDS = 86_400

export const CreateTicketBody = Type.Object({
  policy: Type.String({ minLength: 1, maxLength: 64, description: 'The one policy that the ticket is for.', examples: ['pictures'] }),
  maxFiles: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000, description: 'How many uploads it may create; 100 when left out.' })),
  maxBytes: Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'How many bytes they may have together, and so at most each of them. An upload without a declared size counts as the most it may have. As many as `maxFiles` files of the policy can have when left out.' })),
  expiresInSeconds: Type.Optional(Type.Integer({ minimum: 60, maximum: MAX_EXPIRES_IN_SECONDS, description: 'How long it lives; an hour when left out. It may outlive the token that asks for it.' }))
}, { additionalProperties: false })
export type CreateTicketBody = Static<typeof CreateTicketBody>

const TicketFields = {
  id: Type.String({ description: 'What to revoke it by. It gives no access.' }),
  policy: Type.String(),
  maxFiles: Type.Integer(),
  maxBytes: Type.Integer(),
  expiresAt: Type.String({ format: 'date-time' })
}

export const TicketReply = Type.Object({
  ticket: Type.Object({
    ...TicketFields,
    endpoint: Type.String({ description: 'What Uppy takes as its endpoint, at the address of this service. It is a secret: whoever has it can upload. It is told once.', examples: ['/uppy/tickets/q3Zl…'] })
  })
})

export const TicketListReply = Type.Object({
  data: Type.Array(Type.Object({
    ...TicketFields,
    usedFiles: Type.Integer({ description: 'How many uploads were created with it.' }),
    usedBytes: Type.Integer({ description: 'How many bytes they have, or may have.' })
  }))
})

export const TicketParams = Type.Object({ id: Type.String({ pattern: '^[A-Za-z0-9-]{1,64}$', description: 'The id of a ticket.' }) })

export function toTicketBody ({ id, policy, maxFiles, maxBytes, expiresAt }: Ticket) {
  return { id, policy, maxFiles, maxBytes, expiresAt: expiresAt.toISOString() }
}
