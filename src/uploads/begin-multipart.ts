import type { PendingFile } from '../files/file.js'
import type { Services } from '../services.js'

/**
 * Makes sure that S3 knows of the multipart upload of this file. Of callers at the same time one wins, and the
 * others abort what they began, so that none stays open without a row.
 * @param lost the upload that S3 says it does not have any more, or null for a first one
 * @returns the row with the upload that counts; null when the file is not pending any more
 */
export async function beginMultipart ({ objectStorage, files, now }: Services, file: PendingFile, lost: string | null): Promise<PendingFile | null> {
  const multipartUploadId = await objectStorage.createMultipartUpload(file, { contentType: file.contentType, checksum: file.checksum })
  const begun = await files.setMultipartUploadId(file.id, lost, multipartUploadId, now())
  if (begun) return begun
  await objectStorage.abortMultipartUpload(file, multipartUploadId)
  const current = await files.find(file.id, { tenant: file.tenant, owner: file.owner })
  return current?.status === 'pending' ? current : null
}
