// The service: JSON in, JSON out, and every error a problem with a code (RFC 9457).
/* global fetch */

export class Problem extends Error {
  constructor (code, message, details = {}) {
    super(message)
    this.code = code
    this.retryAfterSeconds = details.retryAfterSeconds
  }
}

/** Who is signed in: `{ sub, name, token }`, or null. */
export let session = null

export function setSession (user) {
  session = user
}

export async function call (method, path, body) {
  let response
  try {
    response = await fetch(path, {
      method,
      cache: 'no-store',
      headers: {
        ...(session && { authorization: `Bearer ${session.token}` }),
        ...(body && { 'content-type': 'application/json' })
      },
      body: body && JSON.stringify(body)
    })
  } catch {
    throw new Problem('OFFLINE', 'The service cannot be reached.')
  }
  const json = response.status === 204 ? null : await response.json().catch(() => null)
  if (!response.ok) {
    const fields = (json?.errors ?? []).map(error => error.message).join(' ')
    throw new Problem(json?.code ?? `HTTP_${response.status}`, fields || json?.detail || json?.title || `The service answered ${response.status}.`)
  }
  return { status: response.status, json, retryAfterSeconds: Number(response.headers.get('retry-after')) || 1 }
}
