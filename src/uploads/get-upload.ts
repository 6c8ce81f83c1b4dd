import type { LivingFile, PendingFile } from '../files/file.js'
import type { StoredPart } from '../object-storage/object-storage.js'
import type { Services } from '../services.js'
import type { User } from '../user.js'
import { beginMultipart } from './begin-multipart.js'
import { getUploadedFile } from './find-upload.js'
import { getPartCount, getPartSize, hasClientParts, isParted, type PartedFile } from './upload-parts.js'
import { signInstructions, uploadUrlTtlSeconds, urlDeadline } from './upload-instructions.js'

/**
 * The state of an upload, with fresh instructions while its bytes are awaited, and for a multipart upload with
 * the parts that S3 has. Asking again gives new URLs for the same object; older ones stay valid until their own
 * end.
 * @throws {ApiError} UPLOAD_NOT_FOUND, OBJECT_STORAGE_ERROR
 */
export async function getUpload (services: Services, user: User, id: string): Promise<{ file: LivingFile, upload?: Awaited<ReturnType<typeof signInstructions>> }> {
  const file = await getUploadedFile(services, user, id)
  // How a client cuts its file is not known here: it asks for the URLs of its parts where it began.
  if (file.status !== 'pending' || hasClientParts(file)) return { file }
  const now = services.now()
  const raised = await services.files.raiseUrlDeadline(file.id, urlDeadline(now, uploadUrlTtlSeconds(services, file.policy)), now)
  const current = raised && await withStoredParts(services, raised)
  if (!current) return { file: await getUploadedFile(services, user, id) }
  return { file: current.file, upload: await signInstructions(services, current.file, now, current.parts) }
}

/**
 * A multipart upload that S3 has forgotten, or never heard of, is begun anew: its row is still a promise. One that S3
 * has completed, for a call that then failed, is not forgotten: all of its parts are there.
 */
export async function withStoredParts (services: Services, file: PendingFile): Promise<{ file: PendingFile, parts: ReadonlyArray<Pick<StoredPart, 'partNumber' | 'sizeBytes'>> | null } | null> {
  if (!isParted(file)) return { file, parts: null }
  if (file.multipartUploadId !== null) {
    const parts = await services.objectStorage.listParts(file, file.multipartUploadId)
    if (parts) return { file, parts }
    if (await services.objectStorage.headObject(file)) return { file, parts: allParts(file) }
  }
  const begun = await beginMultipart(services, file, file.multipartUploadId)
  return begun && { file: begun, parts: [] }
}

function allParts (file: PartedFile): Array<Pick<StoredPart, 'partNumber' | 'sizeBytes'>> {
  return Array.from({ length: getPartCount(file) }, (_, index) => ({ partNumber: index + 1, sizeBytes: getPartSize(file, index + 1) }))
}
