import type { VerifyingFile } from '../files/file.js'
import type { StoredPart } from '../object-storage/object-storage.js'
import { MIN_PART_BYTES } from '../policies/choose-method.js'
import type { Services } from '../services.js'
import { checkClaims, type ClaimedPart } from './claimed-parts.js'
import { completeMultipart } from './complete-multipart.js'
import type { ClientPartedFile } from './upload-parts.js'
import type { Verdict } from './verify-object.js'

/**
 * Completes a multipart upload whose client has cut its file as it likes. Their sum is what counts: it must be the
 * declared size, or within the policy's bounds. Without a size, only the client knows which parts are all of them,
 * and nobody else completes for it.
 * @returns null once the object is there, as far as S3 says; otherwise what is wrong
 */
export async function assembleClientParts (services: Services, file: ClientPartedFile<VerifyingFile>, claimed: readonly ClaimedPart[] | undefined): Promise<Verdict | null> {
  const { objectStorage, policies, config, files, now } = services
  if (file.multipartUploadId === null) return { outcome: 'missing' }
  const stored = await objectStorage.listParts(file, file.multipartUploadId)
  // Completed already, by a call that lost its reply, or aborted by a rule of the bucket: the object tells.
  if (!stored) return null
  if (sum(stored) > file.reservedBytes) return { outcome: 'mismatch', reason: `The parts have ${sum(stored)} bytes; at most ${file.reservedBytes} are allowed.` }
  checkClaims(stored, claimed)

  const wanted = claimed && new Set(claimed.map(({ partNumber }) => partNumber))
  const chosen = wanted ? stored.filter(({ partNumber }) => wanted.has(partNumber)) : stored
  const sizeBytes = sum(chosen)
  if (file.sizeBytes === null && !claimed) return { outcome: 'missing', detail: 'Only the client knows which parts the file has: call complete with all of them.' }
  if (chosen.length === 0) return { outcome: 'missing' }
  if (file.sizeBytes !== null && sizeBytes !== file.sizeBytes) return { outcome: 'missing', detail: `${sizeBytes} of ${file.sizeBytes} bytes have arrived. Send the rest, then call complete again.` }
  const small = chosen.slice(0, -1).find(part => part.sizeBytes < MIN_PART_BYTES)
  if (small) return { outcome: 'missing', detail: `Part ${small.partNumber} has ${small.sizeBytes} bytes; S3 takes no less than ${MIN_PART_BYTES} in every part but the last. Send it again.` }
  const uneven = config.s3.unequalParts ? undefined : chosen.find((part, index) => index < chosen.length - 1 ? part.sizeBytes !== chosen[0]?.sizeBytes : part.sizeBytes > (chosen[0]?.sizeBytes ?? 0))
  if (uneven) return { outcome: 'missing', detail: `Part ${uneven.partNumber} has ${uneven.sizeBytes} bytes; the store takes parts of one size, but for a smaller last one. Send it again.` }
  const leastBytes = policies.get(file.policy)?.minSizeBytes ?? 0
  if (sizeBytes < leastBytes) return { outcome: 'mismatch', reason: `The file has ${sizeBytes} bytes; at least ${leastBytes} are asked for.` }
  // The client names its parts once. Should the store fail now, the sweeper has to go on without it.
  if (file.sizeBytes === null && !await files.rememberSize(file.id, file.leaseToken, sizeBytes, now())) return { outcome: 'missing' }
  return await completeMultipart(objectStorage, file, file.multipartUploadId, chosen)
}

function sum (parts: readonly StoredPart[]): number {
  return parts.reduce((bytes, part) => bytes + part.sizeBytes, 0)
}
