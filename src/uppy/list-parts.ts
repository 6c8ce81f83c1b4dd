import { ApiError } from '../errors.js'
import { MAX_PARTS, MIN_PART_BYTES } from '../policies/choose-method.js'
import type { Services } from '../services.js'
import { completeUpload, type CompletedFile } from '../uploads/complete-upload.js'
import { getUppyUpload, type UploadName } from './find-uppy-upload.js'
import type { Mount } from './mount.js'

/** As S3 names them, and Uppy reads them. */
export interface ListedPart { readonly PartNumber: number, readonly ETag: string, readonly Size: number }

/**
 * The parts that S3 has. Of an upload that is complete, which is what a client finds that comes back because the
 * reply to its complete call was lost, every part that it can have is there: it sends nothing again, and its next
 * complete call is answered from the row.
 * @throws {ApiError} UPLOAD_NOT_FOUND, UPLOAD_EXPIRED, OBJECT_MISMATCH, OBJECT_MISSING when S3 has forgotten the upload
 */
export async function listParts (services: Services, mount: Mount, name: UploadName): Promise<ListedPart[]> {
  const file = await getUppyUpload(services, mount, name)
  if (file.status === 'expired') throw new ApiError('UPLOAD_EXPIRED', 'This upload has ended. Create a new one.')
  if (file.status === 'pending' || file.status === 'verifying') {
    const stored = await services.objectStorage.listParts(file, name.uploadId)
    if (stored) return stored.map(({ partNumber, etag, sizeBytes }) => ({ PartNumber: partNumber, ETag: etag, Size: sizeBytes }))
  }
  return allParts(await completeUpload(services, mount.user, file.id))
}

/** More than a client can have made of it, at the least size that S3 takes: it looks up those that it knows. */
function allParts (file: CompletedFile): ListedPart[] {
  const sizeBytes = file.sizeBytes ?? file.reservedBytes
  const count = Math.min(Math.max(1, Math.ceil(sizeBytes / MIN_PART_BYTES)), MAX_PARTS)
  return Array.from({ length: count }, (_, index) => ({
    PartNumber: index + 1,
    ETag: file.status === 'ready' ? file.etag : '"complete"',
    Size: Math.min(MIN_PART_BYTES, sizeBytes - index * MIN_PART_BYTES)
  }))
}
