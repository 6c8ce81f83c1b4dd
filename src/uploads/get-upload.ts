import type { Services } from '../services.js'
import type { User } from '../user.js'
import { getUploadedFile } from './find-upload.js'
import { signInstructions, uploadUrlTtlSeconds, urlDeadline } from './upload-instructions.js'

/**
 * The state of an upload, with fresh instructions while its bytes are awaited. Asking again gives new URLs for
 * the same object; older ones stay valid until their own end.
 * @throws {ApiError} UPLOAD_NOT_FOUND
 */
export async function getUpload (services: Services, user: User, id: string) {
  const file = await getUploadedFile(services, user, id)
  if (file.status !== 'pending') return { file }
  const now = services.now()
  const raised = await services.files.raiseUrlDeadline(file.id, urlDeadline(now, uploadUrlTtlSeconds(services, file.policy)), now)
  if (!raised) return { file: await getUploadedFile(services, user, id) }
  return { file: raised, upload: await signInstructions(services, raised, now) }
}
