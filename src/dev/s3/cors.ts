import type { Bucket } from './bucket.js'
import { header, type S3Request } from './request.js'
import type { Reply } from './operation.js'
import { S3Error } from './s3-error.js'
import type { CorsRule } from './stored-object.js'

/** Whether a pattern with at most one `*` covers the value. */
function matchesPattern (pattern: string, value: string): boolean {
  const star = pattern.indexOf('*')
  if (star < 0) return pattern === value
  const [head, tail] = [pattern.slice(0, star), pattern.slice(star + 1)]
  return value.length >= head.length + tail.length && value.startsWith(head) && value.endsWith(tail)
}

function findRule (rules: readonly CorsRule[], origin: string, method: string, headers: readonly string[]): { readonly rule: CorsRule, readonly allowOrigin: string } | undefined {
  for (const rule of rules) {
    const pattern = rule.allowedOrigins.find((candidate) => matchesPattern(candidate, origin))
    if (pattern === undefined || !rule.allowedMethods.includes(method)) continue
    if (headers.every((name) => rule.allowedHeaders.some((allowed) => matchesPattern(allowed.toLowerCase(), name)))) {
      return { rule, allowOrigin: pattern === '*' ? '*' : origin }
    }
  }
  return undefined
}

const vary = 'Origin, Access-Control-Request-Headers, Access-Control-Request-Method'

function renderCorsHeaders ({ rule, allowOrigin }: { readonly rule: CorsRule, readonly allowOrigin: string }): Record<string, string> {
  return {
    'access-control-allow-origin': allowOrigin,
    'access-control-allow-methods': rule.allowedMethods.join(', '),
    ...(allowOrigin === '*' ? {} : { 'access-control-allow-credentials': 'true' }),
    ...(rule.exposeHeaders.length === 0 ? {} : { 'access-control-expose-headers': rule.exposeHeaders.join(', ') }),
    ...(rule.maxAgeSeconds === undefined ? {} : { 'access-control-max-age': String(rule.maxAgeSeconds) }),
    vary
  }
}

/** The headers that any reply of the bucket carries, refusals as well; none when no rule covers the request. */
export function corsHeaders (request: S3Request, bucket: Bucket | undefined): Record<string, string> {
  const origin = header(request, 'origin')
  if (origin === undefined || bucket?.stored.cors === undefined) return {}
  const found = findRule(bucket.stored.cors, origin, request.method, [])
  return found === undefined ? {} : renderCorsHeaders(found)
}

/**
 * Answers a browser's question before the request; it needs no signature.
 * @throws {S3Error} BadRequest, or AccessForbidden when no rule covers origin, method and every header.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/RESTOPTIONSobject.html
 */
export function preflight (request: S3Request, bucket: Bucket | undefined): Reply {
  const origin = header(request, 'origin')
  const method = header(request, 'access-control-request-method')
  if (origin === undefined) throw new S3Error('BadRequest', 'Insufficient information. Origin request header needed.')
  if (method === undefined) throw new S3Error('BadRequest', 'Invalid Access-Control-Request-Method: null')
  const details = { Method: method, ResourceType: request.key === undefined ? 'BUCKET' : 'OBJECT' }
  if (bucket?.stored.cors === undefined) throw new S3Error('AccessForbidden', 'CORSResponse: CORS is not enabled for this bucket.', details)
  const names = (header(request, 'access-control-request-headers') ?? '').split(',').map((name) => name.trim().toLowerCase()).filter((name) => name !== '')
  const found = findRule(bucket.stored.cors, origin, method, names)
  if (found === undefined) {
    throw new S3Error('AccessForbidden', 'CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource\'s CORS spec.', details)
  }
  return { status: 200, headers: { ...renderCorsHeaders(found), ...(names.length === 0 ? {} : { 'access-control-allow-headers': names.join(', ') }) } }
}
