import { setTimeout as delay } from 'node:timers/promises'
import { ApiError } from '../errors.js'
import type { FileId } from '../files/file.js'
import type { Services } from '../services.js'
import type { ClaimedPart } from '../uploads/claimed-parts.js'
import { completeUpload, type CompletedFile } from '../uploads/complete-upload.js'
import { RETRY_AFTER_SECONDS } from '../uploads/settle-upload.js'
import { getUppyUpload, type UploadName } from './find-uppy-upload.js'
import type { Mount } from './mount.js'

/** A URL that is signed only to learn where the object is. */
const ANY_LIFE_SECONDS = 60

/** How long the parts that a client names may wait for one who is looking at the upload already. */
const PATIENCE_MS = 20_000
const LOOK_AGAIN_MS = 100

/**
 * Completes with the parts that the client names, and says where the object is. Safe to repeat: a settled upload
 * answers from its row.
 * @throws {ApiError} what completeUpload throws; NOT_READY when someone else is looking at the upload for too long
 */
export async function completeParts (services: Services, mount: Mount, name: UploadName, claimed: readonly ClaimedPart[]): Promise<{ file: CompletedFile, location: string }> {
  const found = await getUppyUpload(services, mount, name)
  const file = await completeForGood(services, mount, found.id, claimed)
  const { url } = await services.objectStorage.presignGet({
    method: 'GET', bucket: file.bucket, key: file.key, contentType: file.contentType, contentDisposition: 'attachment', signedAt: services.now(), expiresInSeconds: ANY_LIFE_SECONDS
  })
  return { file, location: url.slice(0, url.indexOf('?')) }
}

/**
 * Uppy takes an answer for the end, and names its parts once. So none is given before they are written down: once the size of
 * all of them is known, whatever fails is gone on with.
 */
async function completeForGood (services: Services, { user }: Mount, id: FileId, claimed: readonly ClaimedPart[]): Promise<CompletedFile> {
  for (const begin = performance.now(); ;) {
    const file = await completeUpload(services, user, id, claimed)
    if (file.status !== 'verifying' || file.sizeBytes !== null) return file
    if (performance.now() - begin > PATIENCE_MS) throw new ApiError('NOT_READY', 'The upload is being looked at. Try again in a moment.', { retryAfterSeconds: RETRY_AFTER_SECONDS })
    await delay(LOOK_AGAIN_MS)
  }
}
