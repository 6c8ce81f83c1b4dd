import type { Services } from '../services.js'
import { ownerScope, type User } from '../user.js'
import { fileNotFound } from './find-file.js'
import { purgeObject } from './purge-object.js'

/**
 * Deletes a file in whatever state it is: a ready one becomes `deleted`, an upload under way is given up. The
 * row changes first, so that a failing store never brings a file back. Safe to repeat.
 * @throws {ApiError} FILE_NOT_FOUND
 */
export async function deleteFile (services: Services, user: User, id: string): Promise<void> {
  const scope = ownerScope(user)
  const file = await services.files.find(id, scope)
  // The tombstone of a replacement is no file that anyone has seen under this id.
  if (!file || (file.status === 'deleted' && file.replacedInto !== null)) throw fileNotFound()
  if (file.status === 'deleted' || file.status === 'rejected' || file.status === 'expired') return
  const tombstone = file.status === 'ready'
    ? await services.files.markDeleted(id, scope, services.now())
    : await services.files.markExpired(id, scope, services.now(), { from: ['pending', 'verifying', 'scanning'] })
  // The file has moved on in between: what it is now says what there is to do.
  if (!tombstone) return await deleteFile(services, user, id)
  await purgeObject(services, tombstone)
}
