import type { Services } from '../services.js'
import { ownerScope, type User } from '../user.js'
import type { LivingFile } from './file.js'
import { cleanFilename } from './filename.js'
import { fileNotFound } from './find-file.js'
import type { UpdateFileBody } from './schemas.js'

/**
 * Renames a file or replaces its metadata as a whole. The object and its key stay as they are.
 * @throws {ApiError} FILE_NOT_FOUND
 */
export async function updateFile (services: Services, user: User, id: string, body: UpdateFileBody): Promise<LivingFile> {
  const details = {
    ...(body.filename !== undefined && { filename: cleanFilename(body.filename) }),
    ...(body.metadata !== undefined && { metadata: body.metadata })
  }
  const file = await services.files.updateDetails(id, ownerScope(user), details, services.now())
  if (!file || file.status === 'deleted') throw fileNotFound()
  return file
}
