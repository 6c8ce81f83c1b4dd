// One upload, from a file of the disk to a file of the service. It draws nothing: whoever shows it passes `onChange`.
//
//   waiting → starting → sending → checking → done
//     the first three → paused        (start() goes on with what is missing)
//        any of them → interrupted    (the same) | failed | cancelled
//        unfinished  → waiting        once the file is there again: after a reload a page has no file
/* global AbortController, Blob */

import { inOneTab } from './one-tab.js'
import { senders } from './senders.js'
import { call, Problem } from './service.js'
import { Slots } from './slots.js'
import { forget, remember } from './unfinished.js'
import { wait } from './wait.js'

const FILES_AT_ONCE = 2
const CHECK_ATTEMPTS = 30

const slots = new Slots(FILES_AT_ONCE)

export class Upload {
  state = 'waiting'
  /** From 0 to 1. */
  progress = 0
  problem = null
  /** The file of the service, once done. */
  result = null
  #abort = new AbortController()
  #ended = Promise.resolve()
  #creation = null

  /**
   * `file` is a File, or what is remembered of one, with the `id` of its upload. `policy` is a policy's name, and
   * `owner` the `sub` of who uploads.
   */
  constructor ({ file, policy, owner, id = null }, onChange) {
    this.file = file
    this.policy = policy
    this.owner = owner
    this.id = id
    this.onChange = onChange
  }

  get isActive () {
    return this.canPause || this.state === 'checking'
  }

  get canPause () {
    return ['waiting', 'starting', 'sending'].includes(this.state)
  }

  /** Starts, or goes on where it stopped: what was created is asked for again, and what the storage has is not sent again. */
  start () {
    const { signal } = this.#abort = new AbortController()
    this.#become('waiting')
    // What was stopped before may still wait for an answer.
    this.#ended = this.#ended.then(() => this.#attempt(signal))
    return this.#ended
  }

  pause () {
    if (this.canPause) this.#stop('paused')
  }

  /** Gives up and takes back what arrived; best effort, since what stays behind expires by itself. */
  async cancel () {
    this.#stop('cancelled')
    await this.#creation?.catch(() => {})
    if (this.id === null) return
    forget(this.owner, this.id)
    await call('DELETE', `/uploads/${this.id}`).catch(() => {})
  }

  /** Ends here without a word to the service: it can be gone on with after the next sign-in. */
  leave () {
    this.#stop('paused')
  }

  /** Shown until the file is there again, or a problem with the file that was offered. */
  needFile (problem = null) {
    this.#become('unfinished', problem)
  }

  /** What the policy already rules out is not sent. */
  refuse (problem) {
    this.#become('failed', problem)
  }

  async #attempt (signal) {
    try {
      await slots.run(() => this.#run(signal), signal)
      signal.throwIfAborted()
      forget(this.owner, this.id)
      this.#become('done')
    } catch (problem) {
      if (!signal.aborted) this.#fail(problem)
    }
  }

  async #run (signal) {
    this.#become('starting')
    const { json } = await this.#ask()
    signal.throwIfAborted()
    await inOneTab(this.id, async () => {
      if (json.upload) await this.#send(json.upload, signal)
      this.result = json.file.status === 'ready' ? json.file : await this.#complete(signal)
    })
  }

  async #ask () {
    if (this.id !== null) return await call('GET', `/uploads/${this.id}`)
    // Whoever pauses and goes on before the answer is there waits for the same answer.
    this.#creation ??= this.#create().finally(() => { this.#creation = null })
    return await this.#creation
  }

  async #create () {
    const { name, size, type, lastModified } = this.file
    const reply = await call('POST', '/uploads', {
      policy: this.policy, filename: name, contentType: type || 'application/octet-stream', sizeBytes: size, method: 'auto'
    })
    this.id = reply.json.file.id
    if (this.state !== 'cancelled') remember(this.owner, { id: this.id, name, size, lastModified, policy: this.policy })
    return reply
  }

  async #send (instructions, signal) {
    if (!(this.file instanceof Blob)) throw new Problem('FILE_NEEDED', '')
    const sender = senders[instructions.method]
    if (!sender) throw new Problem('UNKNOWN_METHOD', `This page cannot upload by ${instructions.method}.`)
    this.progress = 0
    this.#become('sending')
    await sender(instructions, this.file, {
      id: this.id,
      signal,
      onProgress: progress => {
        this.progress = progress
        this.onChange(this)
      }
    })
  }

  async #complete (signal) {
    this.#become('checking')
    for (let attempt = 0; attempt < CHECK_ATTEMPTS; attempt += 1) {
      const { status, json, retryAfterSeconds } = await call('POST', `/uploads/${this.id}/complete`, {})
      if (status !== 202) return json.file
      await wait((retryAfterSeconds || 1) * 1000, signal)
    }
    throw new Problem('STILL_CHECKING', 'Checking takes longer than expected. Try again in a while.')
  }

  #fail (problem) {
    if (problem.code === 'FILE_NEEDED') return this.needFile()
    if (OVER_CODES.has(problem.code)) forget(this.owner, this.id)
    this.#become(OVER_CODES.has(problem.code) || FINAL_CODES.has(problem.code) ? 'failed' : 'interrupted', problem)
  }

  #stop (state) {
    this.#abort.abort()
    this.#become(state)
  }

  #become (state, problem = null) {
    this.state = state
    this.problem = problem
    this.onChange(this)
  }
}

// The service has ended the upload.
const OVER_CODES = new Set(['OBJECT_MISMATCH', 'UPLOAD_EXPIRED', 'UPLOAD_NOT_FOUND'])

// Trying again would end the same way.
const FINAL_CODES = new Set([
  'CONTENT_TYPE_NOT_ALLOWED', 'FILE_CHANGED', 'FILE_TOO_LARGE', 'INVALID_REQUEST', 'POLICY_FORBIDDEN', 'POLICY_NOT_FOUND', 'QUOTA_EXCEEDED',
  'SCOPE_MISSING', 'UNKNOWN_METHOD'
])
