import { Type, type FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { FileParams, FileReply, toFileBody } from '../files/schemas.js'
import { ApiError } from '../errors.js'
import { problemResponses, toProblem } from '../problem-schemas.js'
import { sendList } from '../send-list.js'
import type { Services } from '../services.js'
import { abortUpload } from './abort-upload.js'
import { completeUpload } from './complete-upload.js'
import { createBatch, createUpload, type CreatedUpload } from './create-uploads.js'
import { getUpload } from './get-upload.js'
import { BatchBody, BatchReply, CompleteUploadBody, CreateUploadBody, IdempotencyHeaders, SignPartsBody, SignPartsReply, UploadReply } from './schemas.js'
import { signUploadParts } from './sign-upload-parts.js'

const VERIFYING_RETRY_AFTER_SECONDS = 2
/** 100 uploads with their metadata, or the ETags of 10,000 parts. */
const BATCH_BODY_LIMIT_BYTES = 1024 * 1024

export const uploadRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  app.post('/uploads', {
    schema: {
      operationId: 'createUpload',
      tags: ['uploads'],
      summary: 'Ask for an upload URL',
      description: 'Checks the policy, remembers the file and signs a URL that takes exactly this file: its length, its content type and, where given, its SHA-256 are bound, and it can create but never overwrite. Send the bytes with the method, URL and headers in the reply, then call complete. `upload.method` in the reply says how: one PUT, a form (POST) or in parts (multipart). A 412 on the PUT means that the bytes are there already (an earlier try arrived): call complete. A 403 after `expiresAt` means that the URL has ended: GET /uploads/{id} gives a new one.',
      headers: IdempotencyHeaders,
      body: CreateUploadBody,
      response: {
        201: { ...UploadReply, description: 'The upload can begin. `Location` is its address; `Idempotency-Replayed: true` says that an earlier request has made it.', headers: { location: Type.String({ description: 'The address of the upload.' }), 'idempotency-replayed': Type.String() } },
        ...problemResponses(['SCOPE_MISSING', 'POLICY_FORBIDDEN', 'QUOTA_EXCEEDED', 'IDEMPOTENCY_KEY_REUSED', 'UPLOAD_NOT_FOUND', 'POLICY_NOT_FOUND', 'FILE_NOT_FOUND', 'FILE_NOT_READY', 'FILE_TOO_LARGE', 'CONTENT_TYPE_NOT_ALLOWED', 'OBJECT_STORAGE_ERROR'], { hasBody: true })
      }
    }
  }, async (request, reply) => {
    const created = await createUpload(services, request.user, request.body, { idempotencyKey: request.headers['idempotency-key'] })
    request.auditedFiles = [created.file.id]
    if (created.isReplayed) reply.header('idempotency-replayed', 'true')
    return reply.code(201).header('location', `/uploads/${created.file.id}`).send(toUploadBody(created))
  })

  app.post('/uploads/batch', {
    bodyLimit: BATCH_BODY_LIMIT_BYTES,
    schema: {
      operationId: 'createUploads',
      tags: ['uploads'],
      summary: 'Ask for up to 100 upload URLs',
      description: 'The same as 100 calls of POST /uploads, in one. Each upload answers for itself: `data` holds a file with instructions, or a problem, in the order asked.',
      headers: IdempotencyHeaders,
      body: BatchBody,
      response: { 200: { ...BatchReply, description: 'What became of each upload.', headers: { 'idempotency-replayed': Type.String() } }, ...problemResponses(['IDEMPOTENCY_KEY_REUSED'], { hasBody: true }) }
    }
  }, async (request, reply) => {
    const { isReplayed, uploads } = await createBatch(services, request.user, request.body.uploads, { idempotencyKey: request.headers['idempotency-key'] })
    if (isReplayed) reply.header('idempotency-replayed', 'true')
    const created: string[] = []
    request.auditedFiles = created
    async function * toItems () {
      for await (const item of uploads) {
        if (item instanceof ApiError) {
          // The other causes are logged where a whole request fails.
          if (item.status >= 500) request.log.error({ err: item.cause ?? item, code: item.code }, item.title)
          yield { problem: toProblem(item, request.id) }
        } else {
          created.push(item.file.id)
          yield toUploadBody(item)
        }
      }
    }
    return await sendList(reply, { data: toItems() })
  })

  app.get('/uploads/:id', {
    schema: {
      operationId: 'getUpload',
      tags: ['uploads'],
      summary: 'Read an upload, with fresh instructions',
      description: 'Where the upload is. While its bytes are awaited, the reply holds a new URL: use it after a reload, on another device, or when the first one has expired. An upload that has replaced another file answers with that file.',
      params: FileParams,
      response: { 200: { ...UploadReply, description: 'The upload.' }, ...problemResponses(['UPLOAD_NOT_FOUND', 'OBJECT_STORAGE_ERROR']) }
    }
  }, async request => {
    return toUploadBody(await getUpload(services, request.user, request.params.id))
  })

  app.post('/uploads/:id/parts', {
    schema: {
      operationId: 'signUploadParts',
      tags: ['uploads'],
      summary: 'Ask for the URLs of parts',
      description: 'For an upload that goes in parts: URLs for the part numbers asked for, or for the next ones that the store does not have. At most 100 in one call; asking again gives fresh URLs.',
      params: FileParams,
      body: SignPartsBody,
      response: { 200: { ...SignPartsReply, description: 'The URLs. `parts` is empty when nothing is missing: call complete.' }, ...problemResponses(['UPLOAD_NOT_FOUND', 'UPLOAD_ALREADY_COMPLETED', 'UPLOAD_EXPIRED', 'OBJECT_STORAGE_ERROR'], { hasBody: true }) }
    }
  }, async request => await signUploadParts(services, request.user, request.params.id, request.body))

  app.post('/uploads/:id/complete', {
    bodyLimit: BATCH_BODY_LIMIT_BYTES,
    schema: {
      operationId: 'completeUpload',
      tags: ['uploads'],
      summary: 'Say that the bytes are sent',
      description: 'Looks at what arrived: size, content type, headers and first bytes. The file becomes `ready`, or `rejected` and its object is deleted. Under a policy that has files scanned it becomes `scanning` instead: the upload is done, and GET /files/{id} tells when the file is ready. Safe to repeat: after a lost reply, the same answer comes again. With 202 another call is looking at the moment: ask again after `Retry-After` seconds.',
      params: FileParams,
      body: CompleteUploadBody,
      response: {
        200: { ...FileReply, description: 'The file is ready, or `scanning` under a policy that has files scanned. An upload that replaces another file answers with that file.' },
        202: { ...FileReply, description: 'It is being verified by another call.', headers: { 'retry-after': Type.Integer({ description: 'Seconds.' }) } },
        ...problemResponses(['UPLOAD_NOT_FOUND', 'OBJECT_MISSING', 'UPLOAD_EXPIRED', 'OBJECT_MISMATCH', 'OBJECT_STORAGE_ERROR'], { hasBody: true })
      }
    }
  }, async (request, reply) => {
    const file = await completeUpload(services, request.user, request.params.id, request.body.parts)
    if (file.status === 'verifying') return reply.code(202).header('retry-after', VERIFYING_RETRY_AFTER_SECONDS).send({ file: toFileBody(file) })
    return { file: toFileBody(file) }
  })

  app.delete('/uploads/:id', {
    schema: {
      operationId: 'abortUpload',
      tags: ['uploads'],
      summary: 'Give an upload up',
      description: 'Ends the upload and deletes what arrived. Safe to repeat. A file that is ready already is deleted by DELETE /files/{id}.',
      params: FileParams,
      response: { 204: { type: 'null', description: 'The upload is over.' }, ...problemResponses(['UPLOAD_NOT_FOUND', 'UPLOAD_ALREADY_COMPLETED']) }
    }
  }, async (request, reply) => {
    await abortUpload(services, request.user, request.params.id)
    return reply.code(204).send(null)
  })
}

function toUploadBody ({ file, upload }: Pick<CreatedUpload, 'file' | 'upload'>) {
  return { file: toFileBody(file), ...(upload && { upload }) }
}
