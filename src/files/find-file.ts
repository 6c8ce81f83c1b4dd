import { ApiError } from '../errors.js'
import type { Services } from '../services.js'
import { ownerScope, type User } from '../user.js'
import type { LivingFile } from './file.js'

/** @throws {ApiError} FILE_NOT_FOUND: unknown, someone else's or deleted, which cannot be told apart */
export async function getFile (services: Services, user: User, id: string): Promise<LivingFile> {
  const file = await services.files.find(id, ownerScope(user))
  if (!file || file.status === 'deleted') throw fileNotFound()
  return file
}

export function fileNotFound (): ApiError {
  return new ApiError('FILE_NOT_FOUND', 'There is no such file.')
}
