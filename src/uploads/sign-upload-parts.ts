import { ApiError } from '../errors.js'
import { checkNotCompleting, checkNotEnded } from './check-sendable.js'
import type { Services } from '../services.js'
import type { User } from '../user.js'
import { getUploadedFile } from './find-upload.js'
import { withStoredParts } from './get-upload.js'
import type { SignPartsBody } from './schemas.js'
import { signParts, uploadUrlTtlSeconds, urlDeadline } from './upload-instructions.js'
import { checkPartNumbers, findMissingParts, getPartSize, hasClientParts, isParted } from './upload-parts.js'

/**
 * URLs for the parts asked for, or for the next ones that S3 does not have.
 * @throws {ApiError} UPLOAD_NOT_FOUND, UPLOAD_ALREADY_COMPLETED, UPLOAD_EXPIRED, INVALID_REQUEST
 */
export async function signUploadParts (services: Services, user: User, id: string, body: SignPartsBody) {
  const { partNumbers, checksumsSha256 = {} } = body
  const file = await getUploadedFile(services, user, id)
  checkNotEnded(file)
  if (hasClientParts(file)) throw new ApiError('INVALID_REQUEST', 'The client of this upload cuts it into parts as it likes: ask where it began.')
  if (!isParted(file)) throw new ApiError('INVALID_REQUEST', `This upload goes by ${file.method}, not in parts.`)
  if (partNumbers) checkPartNumbers(file, partNumbers)
  checkBindable(services, checksumsSha256)
  checkNotCompleting(file)

  const now = services.now()
  const raised = await services.files.raiseUrlDeadline(file.id, urlDeadline(now, uploadUrlTtlSeconds(services, file.policy)), now)
  if (!raised || !isParted(raised)) return await signUploadParts(services, user, id, body)
  const sha256 = new Map(Object.entries(checksumsSha256).map(([partNumber, value]) => [Number(partNumber), value]))
  if (partNumbers && raised.multipartUploadId !== null) return await signParts(services, raised, partNumbers, now, sha256)
  const current = await withStoredParts(services, raised)
  if (!current || !isParted(current.file)) return await signUploadParts(services, user, id, body)
  const { file: begun, parts } = current
  const stored = new Map(parts?.map(part => [part.partNumber, part.sizeBytes]))
  const wanted = partNumbers ?? findMissingParts(begun, partNumber => stored.get(partNumber) === getPartSize(begun, partNumber))
  return await signParts(services, begun, wanted, now, sha256)
}

/** @throws {ApiError} INVALID_REQUEST */
function checkBindable ({ config }: Services, checksumsSha256: Readonly<Record<string, string>>): void {
  if (config.s3.signer !== 'sdk' || Object.keys(checksumsSha256).length === 0) return
  const message = 'This service signs by the AWS SDK, which cannot bind the bytes of a part: leave checksumsSha256 out.'
  throw new ApiError('INVALID_REQUEST', message, { errors: [{ path: '/checksumsSha256', message }] })
}
