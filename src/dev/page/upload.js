// One upload, from a file of the disk to a file of the service. It draws nothing: whoever shows it passes `onChange`.
//
//   waiting → starting → sending → checking → done
//     the first three → paused        (start() goes on with what is missing)
//        any of them → retrying       (goes on by itself in a moment, with start() at once)
//        any of them → interrupted    (goes on with start() alone) | failed | cancelled
//        unfinished  → waiting        once the file is there again: after a reload a page has no file
/* global AbortController, AbortSignal, Blob, DOMException, crypto, location */

import { upload, UploadError } from './client.js'
import { createExplanation } from './explain.js'
import { inOneTab } from './one-tab.js'
import { call, Problem, session, sessionEnds } from './service.js'
import { Slots } from './slots.js'
import { forget, remember } from './unfinished.js'

const FILES_AT_ONCE = 2
/** With two files at a time these are the six connections that a browser opens to one server. */
const PARTS_AT_ONCE = 3

const slots = new Slots(FILES_AT_ONCE)

export class Upload {
  state = 'waiting'
  /** From 0 to 1. */
  progress = 0
  problem = null
  /** The file of the service, once done. */
  result = null
  #pausing = new AbortController()
  #cancelling = new AbortController()
  #isSending = false
  #explanation = null
  /** Whoever pauses and goes on before the service has answered gets the same upload. */
  #idempotencyKey = crypto.getRandomValues(new Uint32Array(4)).join('-')

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
    return this.canPause || this.state === 'checking' || this.state === 'retrying'
  }

  get canPause () {
    return ['waiting', 'starting', 'sending'].includes(this.state)
  }

  /** Starts, or goes on where it stopped: what was created is asked for again, and what the storage has is not sent again. */
  async start () {
    this.#pausing.abort()
    const { signal } = this.#pausing = new AbortController()
    this.#become('waiting')
    try {
      const either = AbortSignal.any([signal, this.#cancelling.signal])
      const result = await slots.run(() => this.#run(either, signal), either)
      either.throwIfAborted()
      this.result = result
      forget(this.owner, this.id)
      this.#explanation?.isDone()
      this.#become('done')
    } catch (error) {
      if (!signal.aborted && !this.#cancelling.signal.aborted) this.#fail(problemOf(error))
    }
  }

  pause () {
    if (this.canPause) this.#stop('paused')
  }

  /** Gives up and takes back what arrived; best effort, since what stays behind expires by itself. */
  async cancel () {
    const isTakenBack = this.#isSending
    this.#cancelling.abort()
    this.#become('cancelled')
    if (this.id === null) return
    forget(this.owner, this.id)
    if (!isTakenBack) await call('DELETE', `/uploads/${this.id}`).catch(() => {})
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

  async #run (signal, pauseSignal) {
    this.#become('starting')
    const caller = session
    const onLive = handler => (...args) => { if (!signal.aborted) handler(...args) }
    const send = async options => {
      this.#isSending = true
      try {
        return await upload(this.#source(), {
          baseUrl: location.origin,
          token: caller.token,
          policy: this.policy,
          idempotencyKey: this.#idempotencyKey,
          concurrency: PARTS_AT_ONCE,
          signal: this.#cancelling.signal,
          pauseSignal,
          onProgress: onLive((sentBytes, totalBytes) => this.#progressTo(sentBytes / totalBytes)),
          onRetry: onLive(fault => this.#become('retrying', problemOf(fault))),
          ...options
        })
      } finally {
        this.#isSending = false
      }
    }
    try {
      return await (this.id === null ? this.#sendNew(send) : inOneTab(this.id, () => send({ uploadId: this.id })))
    } catch (error) {
      if (error.code === 'UNAUTHENTICATED') sessionEnds(caller)
      throw error
    }
  }

  #sendNew (send) {
    const { name, size, lastModified } = this.file
    this.#explanation ??= createExplanation(this)
    this.#explanation?.begins()
    const sending = send({
      onCreated: ({ id }, instructions) => {
        this.id = id
        this.#explanation?.isCreated(instructions)
        // Before another tab can read of it.
        inOneTab(id, () => sending.catch(() => {})).catch(() => {})
        remember(this.owner, { id, name, size, lastModified, policy: this.policy })
      }
    })
    return sending
  }

  /** What is remembered of a file is as good as the file while nothing of it has to be sent. */
  #source () {
    if (this.file instanceof Blob) return this.file
    return { ...this.file, slice () { throw new Problem('FILE_NEEDED', '') } }
  }

  #progressTo (progress) {
    this.progress = progress
    if (progress === 1) this.#explanation?.isSent()
    this.#become(progress < 1 ? 'sending' : 'checking')
  }

  #fail (problem) {
    if (problem.code === 'FILE_NEEDED') return this.needFile()
    if (OVER_CODES.has(problem.code)) forget(this.owner, this.id)
    this.#become(OVER_CODES.has(problem.code) || FINAL_CODES.has(problem.code) ? 'failed' : 'interrupted', problem)
  }

  #stop (state) {
    this.#pausing.abort()
    this.#become(state)
  }

  #become (state, problem = null) {
    this.state = state
    this.problem = problem
    this.onChange(this)
  }
}

function problemOf (error) {
  if (error instanceof UploadError) return new Problem(error.code, error.detail, error.status)
  // What reading a file throws.
  if (error instanceof DOMException) return new Problem('FILE_CHANGED', 'The file on your disk has changed or is gone. Choose it again.')
  if (error instanceof Problem) return error
  throw error
}

// The service has ended the upload.
const OVER_CODES = new Set(['OBJECT_MISMATCH', 'UPLOAD_EXPIRED', 'UPLOAD_NOT_FOUND'])

// Trying again would end the same way.
const FINAL_CODES = new Set([
  'CONTENT_TYPE_NOT_ALLOWED', 'FILE_CHANGED', 'FILE_TOO_LARGE', 'INVALID_REQUEST', 'POLICY_FORBIDDEN', 'POLICY_NOT_FOUND', 'QUOTA_EXCEEDED',
  'SCOPE_MISSING'
])
