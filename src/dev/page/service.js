// The service: JSON in, JSON out, and every error a problem with a code (RFC 9457).
/* global fetch */

export class Problem extends Error {
  constructor (code, message, { isTransient = false, retryAfterSeconds = 0 } = {}) {
    super(message)
    this.code = code
    /** Whether the same may well succeed in a moment. */
    this.isTransient = isTransient
    this.retryAfterSeconds = retryAfterSeconds
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
    throw new Problem('OFFLINE', 'The service cannot be reached.', { isTransient: true })
  }
  const json = response.status === 204 ? null : await response.json().catch(() => null)
  const retryAfterSeconds = Number(response.headers.get('retry-after')) || 0
  if (response.ok) return { status: response.status, json, retryAfterSeconds }

  // Several requests may come back with the same bad news; the first one counts.
  if (response.status === 401 && caller !== null && caller === session) onExpired()
  const fields = (json?.errors ?? []).map(error => error.message).join(' ')
  const message = fields || json?.detail || json?.title || `The service answered ${response.status}.`
  throw new Problem(json?.code ?? `HTTP_${response.status}`, message, {
    isTransient: response.status >= 500 || response.status === 429,
    retryAfterSeconds
  })
}
