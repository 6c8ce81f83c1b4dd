import { ApiError } from '../errors.js'
import type { LivingFile } from '../files/file.js'
import type { Services } from '../services.js'
import { checkNotCompleting, checkNotEnded } from './check-sendable.js'
import { RETRY_AFTER_SECONDS } from './settle-upload.js'
import { partsDeadline, uploadUrlTtlSeconds, urlDeadline } from './upload-instructions.js'
import { checkPartNumbers, type ClientPartedFile } from './upload-parts.js'

/**
 * URLs for parts of any length, for a client that cuts its file as it likes. The row is only written to when it
 * does not cover their end yet: about once in the life of a URL, not once per part.
 * @throws {ApiError} UPLOAD_ALREADY_COMPLETED, UPLOAD_EXPIRED, INVALID_REQUEST
 */
export async function signClientParts (services: Services, file: ClientPartedFile<LivingFile>, partNumbers: readonly number[]) {
  checkNotEnded(file)
  checkPartNumbers(file, partNumbers)
  checkNotCompleting(file)
  const signedAt = services.now()
  const expiresInSeconds = uploadUrlTtlSeconds(services, file.policy)
  if (file.urlDeadline < urlDeadline(signedAt, expiresInSeconds)) {
    const raised = await services.files.raiseUrlDeadline(file.id, partsDeadline(services, file.policy, signedAt), signedAt)
    if (!raised) throw new ApiError('UPLOAD_ALREADY_COMPLETED', 'The upload is being completed, or given up.', { retryAfterSeconds: RETRY_AFTER_SECONDS })
  }
  return await services.objectStorage.presignParts({
    bucket: file.bucket,
    key: file.key,
    multipartUploadId: file.multipartUploadId ?? '',
    parts: partNumbers.map(partNumber => ({ partNumber, sizeBytes: null, sha256: null })),
    signedAt,
    expiresInSeconds
  })
}
