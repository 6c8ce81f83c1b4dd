import type { FastifyRequest } from 'fastify'
import { ApiError } from '../errors.js'

/**
 * The token in a cookie. A browser sends cookies whoever made the page: they count only for a page of this
 * service's own origin, or of one that is listed. A request that has an `Authorization` header goes by that, which
 * no page can have sent unasked.
 * @see https://www.rfc-editor.org/rfc/rfc6265#section-5.4 for the header
 * @throws {ApiError} ORIGIN_NOT_ALLOWED
 */
export function findCookieToken (request: FastifyRequest, { name, origins }: { readonly name: string, readonly origins: readonly string[] }): string | undefined {
  if (request.headers.authorization !== undefined) return undefined
  const pair = request.headers.cookie?.split(';').map(pair => pair.trim()).find(pair => pair.startsWith(`${name}=`))
  if (pair === undefined) return undefined
  if (!isAllowed(request, origins)) throw new ApiError('ORIGIN_NOT_ALLOWED', 'The cookie counts for pages of this service\'s own origin and of those in CORS_ORIGINS. Others send a token: Authorization: Bearer …')
  return pair.slice(name.length + 1).replace(/^"(.*)"$/, '$1')
}

/**
 * Browsers name the origin of every request but a GET to the page's own. For that one they say where it is from in
 * a header that no script can set; one that says nothing is not believed.
 * @see https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
 */
function isAllowed (request: FastifyRequest, origins: readonly string[]): boolean {
  const { origin } = request.headers
  if (origin === undefined) return request.headers['sec-fetch-site'] === 'same-origin'
  return origin === `${request.protocol}://${request.host}` || origins.includes(origin)
}
