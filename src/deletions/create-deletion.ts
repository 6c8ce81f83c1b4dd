import { ApiError } from '../errors.js'
import { getFile } from '../files/find-file.js'
import type { Services } from '../services.js'
import { ownerScope, type User } from '../user.js'

/**
 * A URL to delete the object of a file with. The file is deleted, and its quota given back, before the URL is
 * signed: there is no way back, and an unused URL only leaves the object to the sweeper.
 * @throws {ApiError} FILE_NOT_FOUND, FILE_NOT_READY, POLICY_FORBIDDEN
 */
export async function createDeletion (services: Services, user: User, fileId: string) {
  const file = await getFile(services, user, fileId)
  const policy = services.policies.get(file.policy)
  if (!policy?.presignedDelete) throw new ApiError('POLICY_FORBIDDEN', `The policy "${file.policy}" hands out no URLs to delete with. Use DELETE /files/{id}.`)
  if (file.status !== 'ready') throw new ApiError('FILE_NOT_READY', `The file is ${file.status}. DELETE /files/{id} deletes it in any state.`)
  const signedAt = services.now()
  const expiresInSeconds = policy.uploadUrlTtlSeconds
  const deleted = await services.files.markDeleted(file.id, ownerScope(user), signedAt, { urlDeadline: new Date(signedAt.getTime() + expiresInSeconds * 1000) })
  if (!deleted) throw new ApiError('FILE_NOT_FOUND', 'There is no such file.')
  const { method, url, headers, expiresAt } = await services.objectStorage.presignDelete({ bucket: deleted.bucket, key: deleted.key, signedAt, expiresInSeconds })
  return { method, url, headers, expiresAt: expiresAt.toISOString() }
}
