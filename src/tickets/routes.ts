import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { ApiError } from '../errors.js'
import { problemResponses } from '../problem-schemas.js'
import type { Services } from '../services.js'
import { ownerScope } from '../user.js'
import { createTicket } from './create-ticket.js'
import { CreateTicketBody, TicketListReply, TicketParams, TicketReply, toTicketBody } from './schemas.js'

const MAX_LISTED = 100

export const ticketRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  app.post('/uploads/tickets', {
    schema: {
      operationId: 'createTicket',
      tags: ['uppy'],
      summary: 'Make an upload ticket',
      description: 'An endpoint for Uppy that needs no token: whoever has it uploads in your name, under one policy, until it ends, its caps are reached or it is revoked. It is good for nothing else. What it has ever created counts, whatever became of it.',
      body: CreateTicketBody,
      response: { 201: { ...TicketReply, description: 'The ticket.' }, ...problemResponses(['SCOPE_MISSING', 'POLICY_FORBIDDEN', 'POLICY_NOT_FOUND'], { hasBody: true }) }
    }
  }, async (request, reply) => {
    const { ticket, token } = await createTicket(services, request.user, request.body)
    return reply.code(201).send({ ticket: { ...toTicketBody(ticket), endpoint: `/uppy/tickets/${token}` } })
  })

  app.get('/uploads/tickets', {
    schema: {
      operationId: 'listTickets',
      tags: ['uppy'],
      summary: 'List one\'s upload tickets',
      description: 'The newest 100 that are good for something still, without their endpoints.',
      response: { 200: { ...TicketListReply, description: 'The tickets.' }, ...problemResponses([]) }
    }
  }, async ({ user }) => {
    const tickets = await services.tickets.listLive(user.tenant, user.owner, services.now(), MAX_LISTED)
    return { data: tickets.map(ticket => ({ ...toTicketBody(ticket), usedFiles: ticket.usedFiles, usedBytes: ticket.usedBytes })) }
  })

  app.delete('/uploads/tickets/:id', {
    schema: {
      operationId: 'revokeTicket',
      tags: ['uppy'],
      summary: 'Revoke an upload ticket',
      description: 'From now on it is good for nothing. URLs that were signed before live until their own end. Safe to repeat.',
      params: TicketParams,
      response: { 204: { type: 'null', description: 'The ticket is revoked.' }, ...problemResponses(['NOT_FOUND']) }
    }
  }, async (request, reply) => {
    const isRevoked = await services.tickets.revoke(request.params.id, ownerScope(request.user), services.now())
    if (!isRevoked) throw new ApiError('NOT_FOUND', 'There is no such ticket.')
    return reply.code(204).send(null)
  })
}
