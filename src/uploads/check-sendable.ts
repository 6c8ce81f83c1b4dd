import { ApiError } from '../errors.js'
import type { LivingFile, PendingFile, VerifyingFile } from '../files/file.js'

/** @throws {ApiError} UPLOAD_ALREADY_COMPLETED, UPLOAD_EXPIRED for an upload that nothing more can be sent to */
export function checkNotEnded (file: LivingFile): asserts file is PendingFile | VerifyingFile {
  if (file.status === 'ready') throw new ApiError('UPLOAD_ALREADY_COMPLETED', 'The file is ready: there is nothing left to send.')
  if (file.status === 'scanning') throw new ApiError('UPLOAD_ALREADY_COMPLETED', 'The file is being scanned: there is nothing left to send.')
  if (file.status === 'rejected' || file.status === 'expired') throw new ApiError('UPLOAD_EXPIRED', 'This upload has ended. Create a new one.')
}

/** @throws {ApiError} UPLOAD_ALREADY_COMPLETED, for now: what is looked at may turn out to be incomplete */
export function checkNotCompleting (file: PendingFile | VerifyingFile): asserts file is PendingFile {
  if (file.status === 'verifying') throw new ApiError('UPLOAD_ALREADY_COMPLETED', 'The upload is being completed.', { retryAfterSeconds: 2 })
}
