import { Type, type FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { problemResponses } from '../problem-schemas.js'
import { sendList } from '../send-list.js'
import type { Services } from '../services.js'
import { deleteFile } from './delete-file.js'
import { getFile } from './find-file.js'
import { listFiles } from './list-files.js'
import { submitVerdict } from './submit-verdict.js'
import { FileListReply, FileParams, FileReply, ListFilesQuery, toFileBody, UpdateFileBody, VerdictBody } from './schemas.js'
import { updateFile } from './update-file.js'

export const fileRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  app.get('/files', {
    schema: {
      operationId: 'listFiles',
      tags: ['files'],
      summary: 'List one\'s files',
      description: 'Newest first, one page at a time; ready files unless another status is asked for.',
      querystring: ListFilesQuery,
      response: {
        200: { ...FileListReply, description: 'One page.', headers: { link: Type.String({ description: 'The next page, as `rel="next"`.' }) } },
        ...problemResponses(['SCOPE_MISSING'])
      }
    }
  }, async (request, reply) => {
    const { data, nextCursor } = await listFiles(services, request.user, request.query)
    if (nextCursor !== undefined) {
      const { cursor: _, ...rest } = request.query
      const query = new URLSearchParams(Object.entries({ ...rest, cursor: nextCursor }).map(([name, value]): [string, string] => [name, String(value)]))
      reply.header('link', `</files?${query}>; rel="next"`)
    }
    return await sendList(reply, { data: data.map(toFileBody), ...(nextCursor !== undefined && { nextCursor }) })
  })

  app.get('/files/:id', {
    schema: {
      operationId: 'getFile',
      tags: ['files'],
      summary: 'Read what is known of a file',
      description: 'The file without its bytes: POST /downloads gives a URL for those. Someone else\'s file and a deleted one are not found.',
      params: FileParams,
      response: { 200: { ...FileReply, description: 'The file.' }, ...problemResponses(['FILE_NOT_FOUND']) }
    }
  }, async request => ({ file: toFileBody(await getFile(services, request.user, request.params.id)) }))

  app.patch('/files/:id', {
    schema: {
      operationId: 'updateFile',
      tags: ['files'],
      summary: 'Rename a file or change its metadata',
      description: '`metadata` is replaced as a whole. The object and its key stay as they are: downloads carry the new name from now on.',
      params: FileParams,
      body: UpdateFileBody,
      response: { 200: { ...FileReply, description: 'The changed file.' }, ...problemResponses(['FILE_NOT_FOUND'], { hasBody: true }) }
    }
  }, async request => ({ file: toFileBody(await updateFile(services, request.user, request.params.id, request.body)) }))

  app.post('/files/:id/verdict', {
    schema: {
      operationId: 'submitVerdict',
      tags: ['files'],
      summary: 'Say what a scanner found',
      description: 'For tokens with the scope `files:scan`: a clean file becomes `ready`, an infected one `rejected`, and its object is deleted. Safe to repeat; the first verdict counts. A scanner hears of files by the webhook `file.scanning` or by GET /files, and reads them by POST /downloads.',
      params: FileParams,
      body: VerdictBody,
      response: { 200: { ...FileReply, description: 'The decided file. An upload that replaces another file answers with that file.' }, ...problemResponses(['SCOPE_MISSING', 'FILE_NOT_FOUND', 'FILE_NOT_READY', 'VERDICT_CONFLICT'], { hasBody: true }) }
    }
  }, async request => ({ file: toFileBody(await submitVerdict(services, request.user, request.params.id, request.body)) }))

  app.delete('/files/:id', {
    schema: {
      operationId: 'deleteFile',
      tags: ['files'],
      summary: 'Delete a file',
      description: 'The file is gone from this service at once and its object is deleted. URLs handed out before may still read it for a moment. Safe to repeat.',
      params: FileParams,
      response: { 204: { type: 'null', description: 'The file is deleted.' }, ...problemResponses(['FILE_NOT_FOUND']) }
    }
  }, async (request, reply) => {
    await deleteFile(services, request.user, request.params.id)
    return reply.code(204).send(null)
  })
}
