import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { problemResponses } from '../problem-schemas.js'
import type { Services } from '../services.js'
import { getUsage } from './get-usage.js'
import { UsageReply } from './schemas.js'

export const usageRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  app.get('/usage', {
    schema: {
      operationId: 'getUsage',
      tags: ['files'],
      summary: 'Read what one holds, with the limits',
      description: 'Files and bytes held and reserved, by policy. An upload reserves its size from its creation on, and gives it back when it is rejected, expires or is aborted.',
      response: { 200: { ...UsageReply, description: 'The usage.' }, ...problemResponses([]) }
    }
  }, async request => ({ data: await getUsage(services, request.user) }))
}
