import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { problemResponses } from '../problem-schemas.js'
import type { Services } from '../services.js'
import { listPolicies } from './list-policies.js'
import { PolicyListReply, toPolicyBody } from './schemas.js'

export const policyRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  app.get('/policies', {
    schema: {
      operationId: 'listPolicies',
      tags: ['policies'],
      summary: 'List the policies one may use',
      description: 'What the caller may upload, with an `accept` string and limits that a file picker can use as they are.',
      response: { 200: { ...PolicyListReply, description: 'The policies that admit the caller.' }, ...problemResponses([]) }
    }
  }, async request => ({ data: listPolicies(services, request.user).map(toPolicyBody) }))
}
