import { Type, type TSchema } from '@sinclair/typebox'
import { errors, type ApiError, type ErrorCode } from './errors.js'
import { StringEnum } from './string-enum.js'

const codes = Object.keys(errors) as ErrorCode[]

/** The page of the service that `type` leads to, and the anchor on it is the code. A path is the same for every host that it is served from. */
export const ERROR_CATALOGUE = '/errors'

/** The one shape of everything that is not a success. */
export const Problem = Type.Object({
  type: Type.String({ format: 'uri-reference', description: 'Names the kind of error and leads to what is to be done about it, on this service.', examples: [`${ERROR_CATALOGUE}#FILE_TOO_LARGE`] }),
  title: Type.String({ description: 'The same words for every error of this code.', examples: ['The file is too large'] }),
  status: Type.Integer({ description: 'The HTTP status, once more.', examples: [413] }),
  detail: Type.String({ description: 'What happened and what to do, for people.', examples: ['The policy "pictures" takes files of up to 10485760 bytes; this one has 20000000.'] }),
  code: StringEnum(codes, { description: 'What to tell errors apart by.', examples: ['FILE_TOO_LARGE'] }),
  message: Type.Optional(Type.String({ description: 'The detail once more, on the addresses for Uppy, whose clients show it.' })),
  requestId: Type.String({ description: 'Under this id the request is in the log; also in the header x-request-id.' }),
  retryAfterSeconds: Type.Optional(Type.Integer({ description: 'When to try again; also in the header retry-after.' })),
  errors: Type.Optional(Type.Array(Type.Object({ path: Type.String(), message: Type.String() }), { description: 'With INVALID_REQUEST: which fields are wrong, twenty at most, and of a body with a thousand values the first one alone.' }))
}, { $id: 'Problem', description: 'An error, as RFC 9457 describes it.' })

/** The codes that any route may answer with, whatever it does. */
const COMMON: readonly ErrorCode[] = ['INVALID_REQUEST', 'RATE_LIMITED', 'INTERNAL_ERROR', 'NOT_READY']
const AUTHENTICATED: readonly ErrorCode[] = ['UNAUTHENTICATED', 'AUTH_UNAVAILABLE']

/**
 * The `response` entries of a route for all that can go wrong: one per status, with the codes it can mean.
 * @param isAuthenticated whether the route asks for a token
 */
export function problemResponses (own: readonly ErrorCode[], { isAuthenticated = true, hasBody = false } = {}): Record<number, TSchema> {
  const all = [...COMMON, ...(isAuthenticated ? AUTHENTICATED : []), ...(hasBody ? ['UNSUPPORTED_MEDIA_TYPE', 'BODY_TOO_LARGE'] as const : []), ...own]
  const byStatus = groupByStatus(all)
  return Object.fromEntries([...byStatus].map(([status, group]) => [status, {
    description: [...new Set(group)].map(code => `${code}: ${errors[code].title}.`).join(' '),
    content: { 'application/problem+json': { schema: Type.Ref('Problem') } }
  } as unknown as TSchema]))
}

function groupByStatus (all: readonly ErrorCode[]): Map<number, ErrorCode[]> {
  const groups = new Map<number, ErrorCode[]>()
  for (const code of all) groups.set(errors[code].status, [...groups.get(errors[code].status) ?? [], code])
  return groups
}

/** An error as clients see it. */
export function toProblem (error: ApiError, requestId: string) {
  return {
    type: `${ERROR_CATALOGUE}#${error.code}`,
    title: error.title,
    status: error.status,
    detail: error.detail,
    code: error.code,
    requestId,
    ...(error.retryAfterSeconds !== undefined && { retryAfterSeconds: error.retryAfterSeconds }),
    ...(error.errors !== undefined && { errors: error.errors })
  }
}
