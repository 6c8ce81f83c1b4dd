import type { components } from './api-types.js'

/**
 * The codes of the service, and what this helper adds: the network failed, the object storage refused, or something
 * between here and the service answered in its place.
 */
export type UploadErrorCode = components['schemas']['Problem']['code'] | 'NETWORK_ERROR' | 'STORAGE_ERROR' | 'UNEXPECTED_REPLY'

/** Why an upload did not come to its end. */
export class UploadError extends Error {
  override readonly name = 'UploadError'
  /** The upload it happened to, once there is one: `upload(file, { …, uploadId })` goes on with it. */
  uploadId?: string

  /** When it may be worth another try; 0 when nobody has said. */
  readonly retryAfterSeconds: number

  /**
   * @param status the HTTP status; 0 when there was no reply
   * @param detail what happened and what to do, for people
   */
  constructor (readonly code: UploadErrorCode, readonly status: number, readonly detail: string, { retryAfterSeconds = 0, cause }: { retryAfterSeconds?: number, cause?: unknown } = {}) {
    super(`${code}: ${detail}`, { cause })
    this.retryAfterSeconds = retryAfterSeconds
  }
}
