import type { ObjectStorage } from '../object-storage/object-storage.js'
import type { Services } from '../services.js'
import type { File, ReadyFile, ScanningFile } from './file.js'

/**
 * Deletes what a tombstone left in the bucket: parts, staging and object. The row, which is committed before,
 * keeps the answer; a store that does not answer leaves the rest to the next purge. Safe to repeat.
 */
export async function purgeObject ({ objectStorage, files, now, log }: Services, tombstone: File): Promise<void> {
  try {
    if (tombstone.method === 'multipart') await abortParts(objectStorage, tombstone, tombstone.multipartUploadId === null ? [] : [tombstone.multipartUploadId])
    if (tombstone.stagingKey !== null) await objectStorage.deleteObject({ bucket: tombstone.bucket, key: tombstone.stagingKey })
    await objectStorage.deleteObject(tombstone)
    await files.markPurged(tombstone.id, now())
  } catch (error) {
    log.warn({ err: error, fileId: tombstone.id }, 'the object of a tombstone could not be deleted yet')
  }
}

/** Also of uploads that a process began and died before it could write their ids into the row. */
async function abortParts (objectStorage: ObjectStorage, file: File, begun: string[]): Promise<void> {
  for await (const { key, multipartUploadId } of objectStorage.listMultipartUploads(file.bucket, file.key)) {
    if (key === file.key && !begun.includes(multipartUploadId)) begun.push(multipartUploadId)
  }
  for (const multipartUploadId of begun) await objectStorage.abortMultipartUpload(file, multipartUploadId)
}

/**
 * The object at the final key is what counts. What is left in staging goes, and again once no form can bring it
 * back; so do parts of uploads that lost.
 */
export async function purgeLeftovers ({ objectStorage, files, now, log }: Services, file: ReadyFile | ScanningFile): Promise<void> {
  try {
    if (file.method === 'multipart') {
      await abortParts(objectStorage, file, [])
      await files.markPartsPurged(file.id, now())
    }
    if (file.stagingKey === null) return
    await objectStorage.deleteObject({ bucket: file.bucket, key: file.stagingKey })
    await files.markStagingPurged(file.id, now())
  } catch (error) {
    log.warn({ err: error, fileId: file.id }, 'what an upload left over could not be deleted yet')
  }
}
