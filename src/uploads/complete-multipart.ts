import type { VerifyingFile } from '../files/file.js'
import type { ObjectStorage, StoredPart } from '../object-storage/object-storage.js'
import { otherChecksum, type Verdict } from './verify-object.js'

/**
 * Has the store make the object of these parts.
 * @returns null once the object is there, as far as S3 says; a mismatch when they are not what the client declared
 */
export async function completeMultipart (objectStorage: ObjectStorage, file: VerifyingFile, multipartUploadId: string, parts: readonly StoredPart[]): Promise<Verdict | null> {
  const outcome = await objectStorage.completeMultipartUpload(file, multipartUploadId, parts, file.checksum)
  return outcome === 'other bytes' && file.checksum ? { outcome: 'mismatch', reason: otherChecksum(file.checksum) } : null
}
