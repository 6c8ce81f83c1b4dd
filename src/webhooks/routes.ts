import { Type, type FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { problemResponses } from '../problem-schemas.js'
import type { Services } from '../services.js'
import { checkAdmin } from '../user.js'
import { listDeliveries } from './list-deliveries.js'
import { replayDelivery } from './replay-delivery.js'
import { DeliveryBody, DeliveryListReply, DeliveryParams, DeliveryReply, ListDeliveriesQuery, toDeliveryBody } from './schemas.js'

export const webhookRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  app.addSchema(DeliveryBody)

  app.get('/webhook-deliveries', {
    schema: {
      operationId: 'listWebhookDeliveries',
      tags: ['webhooks'],
      summary: 'List what was sent to webhooks',
      description: 'Newest first, one page at a time: what waits, what was delivered in the last seven days, and what failed for the last time. For tokens with the scope `files:admin`.',
      querystring: ListDeliveriesQuery,
      response: {
        200: { ...DeliveryListReply, description: 'One page.', headers: { link: Type.String({ description: 'The next page, as `rel="next"`.' }) } },
        ...problemResponses(['SCOPE_MISSING'])
      }
    }
  }, async (request, reply) => {
    const { data, nextCursor } = await listDeliveries(services, request.user, request.query)
    if (nextCursor !== undefined) {
      const query = new URLSearchParams(Object.entries({ ...request.query, cursor: nextCursor }).map(([name, value]): [string, string] => [name, String(value)]))
      reply.header('link', `</webhook-deliveries?${query}>; rel="next"`)
    }
    return { data: data.map(toDeliveryBody), ...(nextCursor !== undefined && { nextCursor }) }
  })

  app.post('/webhook-deliveries/:id/replay', {
    schema: {
      operationId: 'replayWebhookDelivery',
      tags: ['webhooks'],
      summary: 'Send an event again',
      description: 'At once, under the same `webhook-id`, and with all its attempts before it, whether it was delivered or not. For tokens with the scope `files:admin`.',
      params: DeliveryParams,
      response: {
        202: { ...DeliveryReply, description: 'It will be sent.' },
        ...problemResponses(['SCOPE_MISSING', 'DELIVERY_NOT_FOUND', 'WEBHOOK_DISABLED'], { hasBody: true })
      }
    }
  }, async (request, reply) => {
    checkAdmin(request.user)
    return reply.code(202).send({ delivery: toDeliveryBody(await replayDelivery(services, request.params.id, request.user.tenant)) })
  })
}
