import { ApiError } from '../errors.js'
import type { LivingFile } from '../files/file.js'
import type { Services } from '../services.js'
import { hasClientParts, type ClientPartedFile } from '../uploads/upload-parts.js'
import type { Mount } from './mount.js'

/** What an Uppy client knows of its upload. Both are only compared. */
export interface UploadName { readonly uploadId: string, readonly key: string }

/**
 * The upload that both names belong to, when it is one of this user's under this policy. An administrator's own,
 * too: nobody acts for others here.
 * @throws {ApiError} UPLOAD_NOT_FOUND: unknown, someone else's, another policy's or deleted, which cannot be told apart
 */
export async function getUppyUpload ({ files }: Services, { user, policy }: Mount, { uploadId, key }: UploadName): Promise<ClientPartedFile<LivingFile>> {
  const file = await files.findByMultipartUpload(user, policy, uploadId, key)
  if (!file || file.status === 'deleted' || !hasClientParts(file)) throw new ApiError('UPLOAD_NOT_FOUND', 'There is no such upload.')
  return file
}
