import type { Services } from '../services.js'
import type { File, ReadyFile } from './file.js'

/**
 * Deletes what a tombstone left in the bucket: parts, staging and object. The row, which is committed before,
 * keeps the answer; a store that does not answer leaves the rest to the next purge. Safe to repeat.
 */
export async function purgeObject ({ objectStorage, files, now, log }: Services, tombstone: File): Promise<void> {
  try {
    if (tombstone.multipartUploadId !== null) await objectStorage.abortMultipartUpload(tombstone, tombstone.multipartUploadId)
    if (tombstone.stagingKey !== null) await objectStorage.deleteObject({ bucket: tombstone.bucket, key: tombstone.stagingKey })
    await objectStorage.deleteObject(tombstone)
    await files.markPurged(tombstone.id, now())
  } catch (error) {
    log.warn({ err: error, fileId: tombstone.id }, 'the object of a tombstone could not be deleted yet')
  }
}

/** The sealed copy is what counts: what is left in staging goes, and again once no form can bring it back. */
export async function purgeStaging ({ objectStorage, files, now, log }: Services, file: ReadyFile): Promise<void> {
  if (file.stagingKey === null) return
  try {
    await objectStorage.deleteObject({ bucket: file.bucket, key: file.stagingKey })
    await files.markStagingPurged(file.id, now())
  } catch (error) {
    log.warn({ err: error, fileId: file.id }, 'a staging object could not be deleted yet')
  }
}
