import { ApiError } from '../errors.js'
import type { LivingFile } from '../files/file.js'
import type { Services } from '../services.js'
import { ownerScope, type User } from '../user.js'

/**
 * The file of an upload. An upload that has replaced another file's content answers with that file.
 * @throws {ApiError} UPLOAD_NOT_FOUND: unknown, someone else's or deleted, which cannot be told apart
 */
export async function getUploadedFile (services: Services, user: User, id: string): Promise<LivingFile> {
  const file = await services.files.find(id, ownerScope(user))
  if (file?.status === 'deleted' && file.replacedInto !== null) return await getUploadedFile(services, user, file.replacedInto)
  if (!file || file.status === 'deleted') throw new ApiError('UPLOAD_NOT_FOUND', 'There is no such upload.')
  return file
}
