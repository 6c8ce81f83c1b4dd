import { ApiError } from '../errors.js'
import { purgeObject } from '../files/purge-object.js'
import type { Services } from '../services.js'
import { ownerScope, type User } from '../user.js'
import { getUploadedFile } from './find-upload.js'

/**
 * Gives an upload up and deletes what arrived. Safe to repeat; an upload that ended otherwise stays as it is.
 * @throws {ApiError} UPLOAD_NOT_FOUND, UPLOAD_ALREADY_COMPLETED
 */
export async function abortUpload (services: Services, user: User, id: string): Promise<void> {
  const file = await getUploadedFile(services, user, id)
  if (file.status === 'ready') throw new ApiError('UPLOAD_ALREADY_COMPLETED', 'The file is ready: delete it with DELETE /files/{id}.')
  if (file.status === 'rejected' || file.status === 'expired') return
  const expired = await services.files.markExpired(file.id, ownerScope(user), services.now(), { from: ['pending', 'verifying', 'scanning'] })
  // Someone else was faster: what they decided says what there is to do.
  if (!expired) return await abortUpload(services, user, id)
  await purgeObject(services, expired)
}
