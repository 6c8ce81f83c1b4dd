import { ApiError } from '../errors.js'
import type { VerifyingFile } from '../files/file.js'
import type { Services } from '../services.js'
import { assembleClientParts } from './assemble-client-parts.js'
import { checkClaims, type ClaimedPart } from './claimed-parts.js'
import { completeMultipart } from './complete-multipart.js'
import { getPartCount, getPartSize, hasClientParts, isParted, type PartedFile } from './upload-parts.js'
import type { Verdict } from './verify-object.js'

/**
 * Brings the object to its final key, where no client can write: by completing the multipart upload, or by a
 * sealed copy out of staging. A PUT is there already. Safe to repeat after any step.
 * @returns null once the object is there, as far as S3 says; otherwise what is wrong
 */
export async function assembleObject (services: Services, file: VerifyingFile, claimed: readonly ClaimedPart[] | undefined): Promise<Verdict | null> {
  if (isParted(file)) return await assembleParts(services, file, claimed)
  if (hasClientParts(file)) return await assembleClientParts(services, file, claimed)
  return file.stagingKey === null ? null : await seal(services, file, file.stagingKey)
}

async function assembleParts ({ objectStorage }: Services, file: PartedFile<VerifyingFile>, claimed: readonly ClaimedPart[] | undefined): Promise<Verdict | null> {
  if (file.multipartUploadId === null) return { outcome: 'missing', detail: missingParts([1], getPartCount(file)) }
  const stored = await objectStorage.listParts(file, file.multipartUploadId)
  // Completed already, by a call that lost its reply, or aborted by a rule of the bucket: the object tells.
  if (!stored) return null
  checkClaims(stored, claimed)
  const wrong = stored.find(part => part.partNumber > getPartCount(file) || part.sizeBytes !== getPartSize(file, part.partNumber))
  if (wrong) return { outcome: 'mismatch', reason: `Part ${wrong.partNumber} has ${wrong.sizeBytes} bytes, which is not what was declared.` }
  const there = new Set(stored.map(part => part.partNumber))
  if (there.size < getPartCount(file)) {
    const missing = Array.from({ length: getPartCount(file) }, (_, index) => index + 1).filter(partNumber => !there.has(partNumber))
    return { outcome: 'missing', detail: missingParts(missing, getPartCount(file)) }
  }
  return await completeMultipart(objectStorage, file, file.multipartUploadId, stored)
}

/**
 * Copies what arrived in staging to the final key, with no header but the content type. Nobody can write there:
 * what is verified afterwards is what is served. Without anything in staging, an earlier call may have sealed it.
 */
async function seal ({ objectStorage }: Services, file: VerifyingFile, stagingKey: string): Promise<Verdict | null> {
  const staging = { bucket: file.bucket, key: stagingKey }
  const arrived = await objectStorage.headObject(staging)
  if (!arrived) return null
  if (file.sizeBytes !== null ? arrived.sizeBytes !== file.sizeBytes : arrived.sizeBytes > file.reservedBytes) {
    return { outcome: 'mismatch', reason: `The file has ${arrived.sizeBytes} bytes; ${file.sizeBytes ?? `at most ${file.reservedBytes}`} were declared.` }
  }
  if (arrived.contentType !== file.contentType) return { outcome: 'mismatch', reason: `The file was sent as ${arrived.contentType || 'nothing'}; ${file.contentType} was declared.` }
  const copied = await objectStorage.copyObject(staging, file.key, arrived)
  if (!copied) throw new ApiError('OBJECT_STORAGE_ERROR', 'The object keeps changing. Try again in a moment.', { retryAfterSeconds: 5 })
  return null
}

function missingParts (missing: readonly number[], count: number): string {
  const shown = missing.slice(0, 10).join(', ')
  return `${missing.length} of ${count} parts have not arrived: ${shown}${missing.length > 10 ? ', …' : ''}. Send them, then call complete again.`
}
