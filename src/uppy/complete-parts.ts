import type { Services } from '../services.js'
import type { ClaimedPart } from '../uploads/claimed-parts.js'
import { completeUpload, type CompletedFile } from '../uploads/complete-upload.js'
import { getUppyUpload, type UploadName } from './find-uppy-upload.js'
import type { Mount } from './mount.js'

/** A URL that is signed only to learn where the object is. */
const ANY_LIFE_SECONDS = 60

/**
 * Completes with the parts that the client names, and says where the object is. Safe to repeat: a settled upload
 * answers from its row.
 * @throws {ApiError} what completeUpload throws
 */
export async function completeParts (services: Services, mount: Mount, name: UploadName, claimed: readonly ClaimedPart[]): Promise<{ file: CompletedFile, location: string }> {
  const found = await getUppyUpload(services, mount, name)
  const file = await completeUpload(services, mount.user, found.id, claimed)
  const { url } = await services.objectStorage.presignGet({
    method: 'GET', bucket: file.bucket, key: file.key, contentType: file.contentType, contentDisposition: 'attachment', signedAt: services.now(), expiresInSeconds: ANY_LIFE_SECONDS
  })
  return { file, location: url.slice(0, url.indexOf('?')) }
}
