// The service: JSON in, JSON out, and every error a problem with a code (RFC 9457).
/* global fetch */

export class Problem extends Error {
  /** `status` is that of HTTP, or 0 without a reply. */
  constructor (code, message, status = 0) {
    super(message)
    this.code = code
    this.status = status
  }
}

/** Who is signed in: `{ sub, name, token }`, or null. */
export let session = null

export function setSession (user) {
  session = user
}

let onExpired = () => {}

/** Whoever called the service gets the problem as well; this is for the page as a whole. */
export function whenSessionExpires (handler) {
  onExpired = handler
}

/** The token of this caller is not taken any more. Several requests may come back with the same bad news; the first one counts. */
export function sessionEnds (caller) {
  if (caller !== null && caller === session) onExpired()
}

export async function call (method, path, body) {
  const caller = session
  let response
  try {
    response = await fetch(path, {
      method,
      cache: 'no-store',
      headers: {
        ...(caller && { authorization: `Bearer ${caller.token}` }),
        ...(body && { 'content-type': 'application/json' })
      },
      body: body && JSON.stringify(body)
    })
  } catch {
    throw new Problem('NETWORK_ERROR', 'The service cannot be reached.')
  }
  const json = response.status === 204 ? null : await response.json().catch(() => null)
  if (response.ok) return json

  if (response.status === 401) sessionEnds(caller)
  const fields = (json?.errors ?? []).map(error => error.message).join(' ')
  const message = fields || json?.detail || json?.title || `The service answered ${response.status}.`
  throw new Problem(json?.code ?? `HTTP_${response.status}`, message, response.status)
}
