import { Type, type FastifyPluginAsyncTypebox, type TString } from '@fastify/type-provider-typebox'
import type { FastifyContextConfig } from 'fastify'
import { ApiError, type ErrorCode } from '../errors.js'
import { toFileBody } from '../files/schemas.js'
import { problemResponses } from '../problem-schemas.js'
import type { Services } from '../services.js'
import type { User } from '../user.js'
import { abortUpload } from '../uploads/abort-upload.js'
import { completeParts } from './complete-parts.js'
import { createSingle } from './create-single.js'
import { createUppyMultipart } from './create-uppy-upload.js'
import { getUppyUpload } from './find-uppy-upload.js'
import { listParts } from './list-parts.js'
import type { Mount } from './mount.js'
import { presignRequest } from './presign-request.js'
import * as schemas from './schemas.js'
import { signParts } from './sign-parts.js'

/** The ETags of 10,000 parts. */
const COMPLETE_BODY_LIMIT_BYTES = 1024 * 1024
const CREATION_ERRORS = ['SCOPE_MISSING', 'POLICY_FORBIDDEN', 'QUOTA_EXCEEDED', 'POLICY_NOT_FOUND', 'FILE_TOO_LARGE', 'CONTENT_TYPE_NOT_ALLOWED', 'UPLOAD_EXPIRED', 'OBJECT_STORAGE_ERROR'] as const
const PART_ERRORS = ['UPLOAD_NOT_FOUND', 'UPLOAD_ALREADY_COMPLETED', 'UPLOAD_EXPIRED', 'OBJECT_STORAGE_ERROR'] as const

/**
 * What Uppy's clients ask a Companion for, at two addresses: under a policy, for clients with a token or a cookie,
 * and under a ticket. Nothing is decided here; what a policy allows is the same as for /uploads.
 */
export const uppyRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  await app.register(mountRoutes, { services, path: '/uppy/:policy', params: schemas.UppyParams, authentication: 'cookie' })
  await app.register(mountRoutes, { services, path: '/uppy/tickets/:ticket', params: schemas.UppyTicketParams, authentication: 'ticket' })
}

interface MountOptions {
  readonly services: Services
  readonly path: string
  readonly params: Readonly<Record<string, TString>>
  readonly authentication: 'cookie' | 'ticket'
}

const mountRoutes: FastifyPluginAsyncTypebox<MountOptions> = async (app, { services, path, params, authentication }) => {
  const config: FastifyContextConfig = { authentication, tellsMessage: true }
  const partsConfig: FastifyContextConfig = { ...config, limit: 'parts' }
  const mountOf = ({ user, params }: { user: User, params: Readonly<Record<string, unknown>> }): Mount => ({ user, policy: user.ticket?.policy ?? String(params['policy']) })

  // The description lists the requests once; those under a ticket are the same.
  const describe = (operationId: string, summary: string, description: string) => ({ operationId, tags: ['uppy'], summary, description, hide: authentication === 'ticket' })
  const problems = (own: readonly ErrorCode[], hasBody = false) => problemResponses([...own, 'ORIGIN_NOT_ALLOWED'], { hasBody })

  app.get(`${path}/s3/params`, {
    config,
    schema: {
      ...describe('beginUppyUpload', 'Ask how to send one file', 'What Uppy asks for each file that goes in one request. Creates the upload and signs a form for it, or for clients that accept application/json a PUT, where the policy has no forms and the size is declared. When the file has arrived, call POST /uploads/{id}/complete with the id in the key; the service also looks by itself, a few seconds later and again.'),
      params: Type.Object(params),
      querystring: schemas.ParamsQuery,
      response: { 200: { ...schemas.ParamsReply, description: 'The upload can begin.' }, ...problems(CREATION_ERRORS) }
    }
  }, async request => {
    const { filename, type, ...rest } = request.query
    const metadata = Object.entries(rest).flatMap(([name, value]) => {
      const [, inner] = /^metadata\[(.*)\]$/s.exec(name) ?? []
      return inner === undefined ? [] : [[inner, value] as const]
    })
    // Uppy 5 asks for JSON and can send a PUT; Uppy 6 asks for anything and sends a form, whatever the answer is.
    const canPut = request.headers.accept?.includes('application/json') ?? false
    const { fileId, key, bucket, ...instructions } = await createSingle(services, mountOf(request), { filename, type, metadata }, canPut ? 'without-forms' : 'never')
    request.auditedFiles = [fileId]
    // Uppy 5 shows its app the key and the bucket of the fields, and sends fields in forms alone.
    return instructions.method === 'PUT' ? { fields: { key, bucket }, ...instructions } : instructions
  })

  app.post(`${path}/s3/multipart`, {
    config,
    schema: {
      ...describe('beginUppyMultipart', 'Begin a file in parts', 'Creates an upload whose client cuts the file into parts of 5 MiB or more as it likes. Without a size in the metadata, the most that the policy allows is reserved, and what the parts add up to is measured when it completes.'),
      params: Type.Object(params),
      body: schemas.MultipartBody,
      response: { 200: { ...schemas.MultipartReply, description: 'The upload can begin.' }, ...problems(CREATION_ERRORS, true) }
    }
  }, async request => {
    const { filename, type, metadata = {} } = request.body
    const { id, key, multipartUploadId, bucket } = await createUppyMultipart(services, mountOf(request), { filename, type, metadata: Object.entries(metadata) })
    request.auditedFiles = [id]
    return { key, uploadId: multipartUploadId, bucket }
  })

  app.get(`${path}/s3/multipart/:uploadId/:partNumber`, {
    config: partsConfig,
    schema: {
      ...describe('signUppyPart', 'Ask for the URL of a part', 'One PUT with a slice of the file, of any length. The number is bounded by what the file may have in parts of 5 MiB. These requests have a rate limit of their own.'),
      params: Type.Object({ ...params, ...schemas.PartParams }),
      querystring: schemas.KeyQuery,
      response: { 200: { ...schemas.PartReply, description: 'The URL.' }, ...problems(PART_ERRORS) }
    }
  }, async request => {
    const { uploadId, partNumber } = request.params
    const { urls, expires } = await signParts(services, mountOf(request), { uploadId, key: request.query.key }, [partNumber])
    return { url: urls.get(partNumber) ?? '', expires }
  })

  app.get(`${path}/s3/multipart/:uploadId/batch`, {
    config: partsConfig,
    schema: {
      ...describe('signUppyParts', 'Ask for the URLs of parts', 'Up to 100 of them at once, for clients older than Uppy 4.'),
      params: Type.Object({ ...params, ...schemas.UploadParams }),
      querystring: schemas.BatchQuery,
      response: { 200: { ...schemas.BatchReply, description: 'The URLs.' }, ...problems(PART_ERRORS) }
    }
  }, async request => {
    const { key, partNumbers } = request.query
    const { urls } = await signParts(services, mountOf(request), { uploadId: request.params.uploadId, key }, [...new Set(partNumbers.split(',').map(Number))])
    return { presignedUrls: Object.fromEntries(urls) }
  })

  app.get(`${path}/s3/multipart/:uploadId`, {
    config,
    schema: {
      ...describe('listUppyParts', 'List the parts that have arrived', 'All of them, for a client that resumes. Of an upload that is complete, every part that it can have is there, so that a client whose complete call lost its reply sends nothing again.'),
      params: Type.Object({ ...params, ...schemas.UploadParams }),
      querystring: schemas.KeyQuery,
      response: { 200: { ...schemas.PartsReply, description: 'The parts.' }, ...problems(['UPLOAD_NOT_FOUND', 'UPLOAD_EXPIRED', 'OBJECT_MISSING', 'OBJECT_MISMATCH', 'OBJECT_STORAGE_ERROR']) }
    }
  }, async request => await listParts(services, mountOf(request), { uploadId: request.params.uploadId, key: request.query.key }))

  app.post(`${path}/s3/multipart/:uploadId/complete`, {
    config,
    bodyLimit: COMPLETE_BODY_LIMIT_BYTES,
    schema: {
      ...describe('completeUppyUpload', 'Say that all parts are sent', 'Compares the parts with what the store has, measures them, puts the object together and looks at it. Safe to repeat: after a lost reply the same answer comes again. A file that is still `verifying` is being looked at; GET /uploads/{id} tells the outcome.'),
      params: Type.Object({ ...params, ...schemas.UploadParams }),
      querystring: schemas.KeyQuery,
      body: schemas.CompleteBody,
      response: { 200: { ...schemas.CompleteReply, description: 'The file.' }, ...problems(['UPLOAD_NOT_FOUND', 'OBJECT_MISSING', 'UPLOAD_EXPIRED', 'OBJECT_MISMATCH', 'OBJECT_STORAGE_ERROR'], true) }
    }
  }, async request => {
    const claimed = request.body.parts.map(({ PartNumber: partNumber, ETag: etag }) => ({ partNumber, etag }))
    const { file, location } = await completeParts(services, mountOf(request), { uploadId: request.params.uploadId, key: request.query.key }, claimed)
    return { location, key: file.key, bucket: file.bucket, file: toFileBody(file) }
  })

  app.delete(`${path}/s3/multipart/:uploadId`, {
    config,
    schema: {
      ...describe('abortUppyUpload', 'Give an upload up', 'Ends the upload and deletes its parts. Safe to repeat.'),
      params: Type.Object({ ...params, ...schemas.UploadParams }),
      querystring: schemas.KeyQuery,
      response: { 200: { ...schemas.AbortReply, description: 'The upload is over.' }, ...problems(['UPLOAD_NOT_FOUND', 'UPLOAD_ALREADY_COMPLETED']) }
    }
  }, async request => {
    const file = await getUppyUpload(services, mountOf(request), { uploadId: request.params.uploadId, key: request.query.key })
    await abortUpload(services, request.user, file.id)
    return {}
  })

  app.post(`${path}/s3/presign`, {
    config,
    schema: {
      ...describe('presignUppyRequest', 'Answer the signRequest of Uppy 6', 'Takes what Uppy hands to `signRequest`, and replies what it expects back, for files that go in one request. With a `size`, that exact size is bound. For files in parts use the other requests here, as `companionEndpoint`.'),
      params: Type.Object(params),
      body: schemas.PresignBody,
      response: { 200: { ...schemas.PresignReply, description: 'How to send the file.' }, ...problems(CREATION_ERRORS, true) }
    }
  }, async request => {
    const presigned = await presignRequest(services, mountOf(request), request.body)
    request.auditedFiles = [presigned.fileId]
    return presigned
  })

  app.get(`${path}/s3/sts`, { config, schema: { hide: true } }, async () => {
    throw new ApiError('NOT_FOUND', 'No credentials are handed out here: leave getTemporarySecurityCredentials or getCredentials away, and every request is signed for you.')
  })
}
