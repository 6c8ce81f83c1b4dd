import { ApiError } from '../errors.js'
import type { Policy, UploadMethod } from './policy.js'

/** S3's limit for one PUT or form: https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html */
export const MAX_SINGLE_BYTES = 5 * 1024 ** 3
/** S3's limits for parts: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
export const MIN_PART_BYTES = 5 * 1024 ** 2
export const MAX_PARTS = 10_000
export const MAX_MULTIPART_BYTES = 5 * 1024 ** 4
const MIB = 1024 ** 2

/**
 * How a file goes up. `auto` takes parts above the policy's threshold and else the first of PUT and POST that the
 * policy allows. A size that is not known yet (null) needs a form, which alone can bind a range, or a client that
 * chooses its parts by itself and is measured when it completes.
 * @throws {ApiError} POLICY_FORBIDDEN, INVALID_REQUEST
 */
export function chooseMethod (policy: Policy, wanted: UploadMethod | 'auto', sizeBytes: number | null, hasClientParts = false): UploadMethod {
  if (wanted !== 'auto' && !policy.methods.includes(wanted)) {
    throw new ApiError('POLICY_FORBIDDEN', `The policy "${policy.name}" does not allow the method ${wanted}; it allows ${policy.methods.join(', ')}.`)
  }
  if (sizeBytes === null) {
    if (wanted === 'multipart' && hasClientParts) return 'multipart'
    if ((wanted === 'auto' || wanted === 'POST') && policy.methods.includes('POST')) return 'POST'
    throw invalid('/sizeBytes', 'The size is needed: only the method POST works without it.')
  }
  const method = wanted === 'auto' ? automatic(policy, sizeBytes) : wanted
  if (method === 'multipart' && sizeBytes === 0) throw invalid('/method', 'An empty file has no parts: use another method.')
  if (method !== 'multipart' && sizeBytes > MAX_SINGLE_BYTES) throw invalid('/method', 'A file of over 5 GiB goes up in parts: use the method multipart.')
  return method
}

/** The size of every part but the last: at least the policy's, in whole MiB, so that 10,000 parts are enough. */
export function choosePartSize (policy: Policy, sizeBytes: number): number {
  return Math.max(policy.partSizeBytes, Math.ceil(sizeBytes / MAX_PARTS / MIB) * MIB)
}

function automatic (policy: Policy, sizeBytes: number): UploadMethod {
  const single = (['PUT', 'POST'] as const).find(method => policy.methods.includes(method))
  const isLarge = sizeBytes > policy.multipartThresholdBytes || sizeBytes > MAX_SINGLE_BYTES
  if (policy.methods.includes('multipart') && sizeBytes > 0 && (isLarge || single === undefined)) return 'multipart'
  return single ?? 'multipart'
}

function invalid (path: string, message: string): ApiError {
  return new ApiError('INVALID_REQUEST', message, { errors: [{ path, message }] })
}
