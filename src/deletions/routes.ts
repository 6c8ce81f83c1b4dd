import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { problemResponses } from '../problem-schemas.js'
import type { Services } from '../services.js'
import { createDeletion } from './create-deletion.js'
import { CreateDeletionBody, DeletionReply } from './schemas.js'

export const deletionRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  app.post('/deletions', {
    schema: {
      operationId: 'createDeletion',
      tags: ['files'],
      summary: 'Ask for a URL to delete with',
      description: 'Deletes the file here at once, and signs a URL that deletes its object: for clients that have to do so themselves, where the policy allows it. DELETE /files/{id} does both.',
      body: CreateDeletionBody,
      response: { 201: { ...DeletionReply, description: 'The file is deleted; the URL deletes its object, as often as it is used.' }, ...problemResponses(['POLICY_FORBIDDEN', 'FILE_NOT_FOUND', 'FILE_NOT_READY', 'OBJECT_STORAGE_ERROR'], { hasBody: true }) }
    }
  }, async (request, reply) => reply.code(201).send({ deletion: await createDeletion(services, request.user, request.body.fileId) }))
}
