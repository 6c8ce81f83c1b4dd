import { upload, UploadError, type UploadedFile, type UploadOptions } from './presignd-client.js'

export type { UploadedFile }

/** What may be uploaded, as `GET /policies` tells it. */
export interface Policy {
  readonly name: string
  /** For the attribute of a file input. */
  readonly accept: string
  readonly maxSizeBytes: number
}

export interface Presignd {
  call <Body>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<Body>
  upload (file: File, options: Omit<UploadOptions, 'baseUrl' | 'token'>): Promise<UploadedFile>
}

/** A fault in words that can be shown. */
export class Problem extends Error {}

/** What presignd can do for the user of this page, with tokens that this app mints. */
export function createPresignd (baseUrl: string): Presignd {
  let known: { readonly token: Promise<string>, readonly until: number } | undefined

  /** One token is used for half of its life, by all who ask. */
  async function token (): Promise<string> {
    if (!known || Date.now() >= known.until) {
      const asking = askForToken()
      known = { token: asking.then(({ token }) => token), until: Infinity }
      asking.then(
        ({ token, expiresInSeconds }) => { known = { token: Promise.resolve(token), until: Date.now() + expiresInSeconds * 500 } },
        () => { known = undefined }
      )
    }
    return await known.token
  }

  return {
    async call (method, path, body) {
      const authorization = `Bearer ${await token()}`
      const response = await fetch(baseUrl + path, {
        method,
        headers: { authorization, ...(body !== undefined && { 'content-type': 'application/json' }) },
        body: JSON.stringify(body)
      }).catch(() => { throw new Problem(`presignd cannot be reached at ${baseUrl}.`) })
      if (response.status === 204) return null
      const json = await response.json().catch(() => null)
      if (!response.ok) throw new Problem(json?.detail ?? `presignd answered ${response.status}.`)
      return json
    },
    upload: async (file, options) => await upload(file, { ...options, baseUrl, token })
  }
}

async function askForToken (): Promise<{ token: string, expiresInSeconds: number }> {
  const response = await fetch('/api/presignd-token', { method: 'POST' }).catch(() => { throw new Problem('The app cannot be reached.') })
  const json = await response.json().catch(() => null)
  if (!response.ok) throw new Problem(json?.detail ?? 'The app gave no token; its log says why.')
  return json
}

/** The words for people: those of presignd are in the `detail` of every error. */
export function explain (error: unknown): string {
  if (error instanceof UploadError) return error.detail
  if (error instanceof Problem) return error.message
  throw error
}
