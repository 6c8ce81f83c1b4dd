// From a file of the disk to a file of the service, without drawing anything.
/* global FormData, XMLHttpRequest, AbortController, setTimeout */

import { call, Problem } from './service.js'

// The object storage: one function per method of upload instructions. Each one resolves when the bytes are there,
// reports progress as a number from 0 to 1, and gives up when the signal says so. Another method is another entry.

const senders = {
  PUT: ({ url, headers }, file, options) => send('PUT', url, headers, file, options),

  POST: ({ url, fields }, file, options) => {
    const form = new FormData()
    for (const [name, value] of Object.entries(fields)) form.append(name, value)
    form.append('file', file)
    return send('POST', url, {}, form, options)
  }
}

// What a browser sets by itself and lets no page set.
const BROWSER_HEADERS = new Set(['content-length', 'host'])

function send (method, url, headers, body, { onProgress, signal }) {
  // XMLHttpRequest, since fetch does not tell how much it has sent.
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    const stop = () => request.abort()
    request.open(method, url)
    for (const [name, value] of Object.entries(headers)) {
      if (!BROWSER_HEADERS.has(name.toLowerCase())) request.setRequestHeader(name, value)
    }
    request.upload.onprogress = event => { if (event.lengthComputable) onProgress(event.loaded / event.total) }
    request.onload = () => {
      // 412: the object is already there, so an earlier try had come through.
      if ((request.status >= 200 && request.status < 300) || request.status === 412) {
        onProgress(1)
        resolve()
      } else if (request.status === 403) {
        reject(new Problem('URL_EXPIRED', 'The permission to upload has run out. Your file is kept here: try again.'))
      } else {
        reject(new Problem('STORAGE', `The storage answered ${request.status}. Your file is kept here: try again.`))
      }
    }
    request.onerror = () => reject(new Problem('CONNECTION_LOST', 'The connection was lost. Your file is kept here: try again.'))
    request.onabort = () => reject(new Problem('CANCELLED', 'Cancelled.'))
    request.onloadend = () => signal.removeEventListener('abort', stop)
    signal.addEventListener('abort', stop)
    request.send(body)
  })
}

// One upload, from a file of the disk to a file of the service. It draws nothing: whoever shows it passes `onChange`.
//
//   starting → sending → checking → done
//        any of them → interrupted (resume() goes on where it stopped) | failed | cancelled

const CHECK_ATTEMPTS = 30

export class Upload {
  state = 'starting'
  progress = 0
  problem = null
  result = null
  #id = null
  #abort = new AbortController()

  constructor (file, policy, onChange) {
    this.file = file
    this.policy = policy
    this.onChange = onChange
  }

  get isActive () {
    return ['starting', 'sending', 'checking'].includes(this.state)
  }

  /** Starts, or goes on after an interruption: what has been created is asked for again, not created twice. */
  async resume () {
    this.#abort = new AbortController()
    this.#become('starting')
    try {
      const { json } = this.#id === null ? await this.#create() : await call('GET', `/uploads/${this.#id}`)
      this.#id = json.file.id
      if (this.state === 'cancelled') return await this.#withdraw()
      if (json.upload && json.file.status === 'pending') await this.#send(json.upload)
      this.result = json.file.status === 'ready' ? json.file : await this.#complete()
      this.#become('done')
    } catch (problem) {
      if (this.state === 'cancelled') return
      this.problem = problem
      this.#become(FINAL_CODES.has(problem.code) ? 'failed' : 'interrupted')
    }
  }

  async cancel () {
    const wasCreated = this.#id !== null
    this.#become('cancelled')
    this.#abort.abort()
    if (wasCreated) await this.#withdraw()
  }

  #create () {
    return call('POST', '/uploads', {
      policy: this.policy.name,
      filename: this.file.name,
      contentType: this.file.type || 'application/octet-stream',
      sizeBytes: this.file.size
    })
  }

  async #send (instructions) {
    const sender = senders[instructions.method]
    if (!sender) throw new Problem('UNKNOWN_METHOD', `This page cannot upload by ${instructions.method}.`)
    this.progress = 0
    this.#become('sending')
    await sender(instructions, this.file, {
      signal: this.#abort.signal,
      onProgress: progress => {
        this.progress = progress
        this.onChange(this)
      }
    })
  }

  async #complete () {
    this.#become('checking')
    for (let attempt = 0; attempt < CHECK_ATTEMPTS; attempt += 1) {
      const { status, json, retryAfterSeconds } = await call('POST', `/uploads/${this.#id}/complete`, {})
      if (status !== 202) return json.file
      await new Promise(resolve => setTimeout(resolve, retryAfterSeconds * 1000))
    }
    throw new Problem('STILL_CHECKING', 'Checking takes longer than expected. Try again in a while.')
  }

  async #withdraw () {
    // Best effort: what stays behind expires by itself.
    await call('DELETE', `/uploads/${this.#id}`).catch(() => {})
  }

  #become (state) {
    this.state = state
    if (state !== 'failed' && state !== 'interrupted') this.problem = null
    this.onChange(this)
  }
}

// Trying again would end the same way.
const FINAL_CODES = new Set([
  'CONTENT_TYPE_NOT_ALLOWED', 'FILE_TOO_LARGE', 'INVALID_REQUEST', 'OBJECT_MISMATCH', 'POLICY_FORBIDDEN', 'POLICY_NOT_FOUND',
  'QUOTA_EXCEEDED', 'SCOPE_MISSING', 'UPLOAD_EXPIRED', 'UPLOAD_NOT_FOUND', 'UNKNOWN_METHOD'
])
