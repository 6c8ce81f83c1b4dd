import { Type, type FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { toFileBody } from '../files/schemas.js'
import { problemResponses } from '../problem-schemas.js'
import type { Services } from '../services.js'
import { createDownload } from './create-download.js'
import { CreateDownloadBody, DownloadParams, DownloadQuery, DownloadReply } from './schemas.js'

export const downloadRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  app.post('/downloads', {
    schema: {
      operationId: 'createDownload',
      tags: ['downloads'],
      summary: 'Ask for a download URL',
      description: 'Signs a GET or a HEAD for a ready file; for one that is scanned, to tokens with the scope `files:scan` alone. The reply of the store will carry the verified content type and the disposition and file name chosen here, whatever the object was stored with. Without `expiresInSeconds`, the same question gets the same URL for a third of its life, so that browsers and CDNs can cache what it brings.',
      body: CreateDownloadBody,
      response: { 201: { ...DownloadReply, description: 'The URL.' }, ...problemResponses(['FILE_NOT_FOUND', 'FILE_NOT_READY', 'OBJECT_STORAGE_ERROR'], { hasBody: true }) }
    }
  }, async (request, reply) => {
    const { file, download } = await createDownload(services, request.user, request.body)
    return reply.code(201).send({ file: toFileBody(file), download })
  })

  app.get('/downloads/:fileId', {
    config: { authentication: 'optional' },
    schema: {
      operationId: 'redirectToDownload',
      tags: ['downloads'],
      summary: 'Go to a file',
      description: 'Redirects to a presigned GET. A stable link that an <img> can use for public files, without a token; other files need the token of someone who may read them.',
      security: [{ bearer: [] }, {}],
      params: DownloadParams,
      querystring: DownloadQuery,
      response: {
        200: { description: 'What a client that follows redirects gets from the store: the bytes, with the verified content type.', content: { '*/*': { schema: Type.Unsafe<null>({ type: 'string', format: 'binary' }) } } },
        307: { type: 'null', description: 'To the presigned URL, in `Location`.', headers: { location: Type.String({ description: 'The presigned URL: a secret.' }) } },
        ...problemResponses(['FILE_NOT_FOUND', 'FILE_NOT_READY', 'OBJECT_STORAGE_ERROR'])
      }
    }
  }, async (request, reply) => {
    const { download } = await createDownload(services, request.user, { fileId: request.params.fileId, ...request.query })
    return reply.redirect(download.url, 307)
  })
}
