import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { randomUUID } from 'node:crypto'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { ApiError, type ApiErrorOptions, type ErrorCode } from '../errors.js'
import { toProblem } from '../problem-schemas.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Errors are also told in the way of Uppy's clients: as `message`, and in the reason phrase of the status line. */
    tellsMessage?: boolean
  }
}

export const PROBLEM_CONTENT_TYPE = 'application/problem+json'

/** A few errors tell what is wrong; thousands only make a big reply. */
const MAX_LISTED_ERRORS = 20

/** Every error of a route, of the framework, and of an unknown address becomes a problem of RFC 9457. */
export const errorHandler = fastifyPlugin(async (app: FastifyInstance) => {
  app.setErrorHandler((error: FastifyError, request, reply) => sendProblem(error, request, reply))
  app.setNotFoundHandler((request, reply) => sendProblem(new ApiError('NOT_FOUND', 'There is nothing at this address and method. The API is described at /openapi.yaml.'), request, reply))
}, { name: 'error-handler' })

/** Answers with the problem of an error. What is not for the client goes to the log, once, under the request's id. */
export function sendProblem (error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const apiError = toApiError(error)
  request.problemCode = apiError.code
  if (apiError.status >= 500) request.log.error({ err: apiError.cause ?? error, code: apiError.code }, apiError.title)
  if (apiError.retryAfterSeconds !== undefined) reply.header('retry-after', apiError.retryAfterSeconds)
  if (apiError.status === 401) reply.header('www-authenticate', 'Bearer')
  const tellsMessage = request.routeOptions?.config?.tellsMessage === true
  // A title is one of ours, in plain letters: nothing that a client sent gets into the status line.
  if (tellsMessage) reply.raw.statusMessage = apiError.title
  const problem = toProblem(apiError, request.id)
  // Written here, not by a route's schema: the framework's own errors have no route.
  return reply.code(apiError.status).type(PROBLEM_CONTENT_TYPE).serializer(JSON.stringify).send(tellsMessage ? { ...problem, message: problem.detail } : problem)
}

/** The codes of Fastify's errors that a client can cause. */
const FRAMEWORK_ERRORS = new Map<string, [ErrorCode, string]>([
  ['FST_ERR_CTP_INVALID_MEDIA_TYPE', ['UNSUPPORTED_MEDIA_TYPE', 'Send the body as application/json.']],
  ['FST_ERR_CTP_BODY_TOO_LARGE', ['BODY_TOO_LARGE', 'The request body is larger than this address takes. Files are not sent here but to the upload URL.']],
  ['FST_ERR_BAD_URL', ['INVALID_REQUEST', 'The address is not a valid URL.']],
  ['FST_ERR_MAX_PARAM_LENGTH', ['NOT_FOUND', 'There is nothing at this address.']],
  ['FST_ERR_ASYNC_CONSTRAINT', ['NOT_FOUND', 'There is nothing at this address.']]
])

function toApiError (error: FastifyError | Error): ApiError {
  if (error instanceof ApiError) return error
  const { validation, validationContext, code, statusCode } = error as Partial<FastifyError>
  if (validation) return invalidRequest(validation.slice(0, MAX_LISTED_ERRORS).map(toFieldError), validationContext)
  const [known, detail] = FRAMEWORK_ERRORS.get(code ?? '') ?? []
  if (known !== undefined && detail !== undefined) return new ApiError(known, detail, { cause: error })
  if (statusCode === 429) return new ApiError('RATE_LIMITED', 'Too many requests. Wait and try again.', { cause: error })
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) return new ApiError('INVALID_REQUEST', 'The request cannot be read: its body must be valid JSON.', { cause: error })
  return new ApiError('INTERNAL_ERROR', 'The fault is on this side, and it is in the log. Try again; if it stays, tell the operator the request id.', { cause: error })
}

function invalidRequest (errors: NonNullable<ApiErrorOptions['errors']>, part = 'body'): ApiError {
  const [first] = errors
  return new ApiError('INVALID_REQUEST', `The ${part} is not valid${first ? `: ${`${first.path} ${first.message}`.trim()}` : ''}.`, { errors })
}

function toFieldError ({ instancePath, message, params }: NonNullable<FastifyError['validation']>[number]) {
  const unknown = params['additionalProperty']
  if (typeof unknown === 'string') return { path: `${instancePath}/${unknown}`, message: 'is not known here' }
  const missing = params['missingProperty']
  if (typeof missing === 'string') return { path: `${instancePath}/${missing}`, message: 'is missing' }
  return { path: instancePath, message: message ?? 'is not valid' }
}

/** What Node's parser refuses before there is a request: garbage, headers that are too large, a request that never ends. */
const SOCKET_ERRORS = new Map<string | undefined, [ErrorCode, string]>([
  ['HPE_HEADER_OVERFLOW', ['HEADERS_TOO_LARGE', 'The request headers are larger than 16 KiB.']],
  ['ERR_HTTP_REQUEST_TIMEOUT', ['REQUEST_TIMEOUT', 'The request took too long to arrive.']]
])

export function clientErrorHandler (error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return
  const [code, detail] = SOCKET_ERRORS.get(error.code) ?? ['INVALID_REQUEST', 'This is not an HTTP request.']
  const problem = new ApiError(code, detail)
  const body = JSON.stringify(toProblem(problem, randomUUID()))
  socket.end(`HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\ncontent-type: ${PROBLEM_CONTENT_TYPE}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`)
}
