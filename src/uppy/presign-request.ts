import { ApiError } from '../errors.js'
import type { Services } from '../services.js'
import { createSingle, type SingleInstructions } from './create-single.js'
import type { Mount } from './mount.js'
import type { PresignBody } from './schemas.js'

/** Uppy 6 proposes `<uuid>-<name>` as the key, unless the app makes its own. */
const PROPOSED_PREFIX = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-/i

/**
 * Answers the `signRequest` of Uppy 6 for a file that goes in one request: the proposed key only gives the file
 * its name. Files in parts are refused. There the browser itself would begin and complete the upload at S3, and a
 * signature can bind neither the size of what it makes nor which upload its parts are for.
 * @throws {ApiError} INVALID_REQUEST, and what createSingle throws
 */
export async function presignRequest (services: Services, mount: Mount, { method, key, uploadId, partNumber, contentType, size }: PresignBody): Promise<SingleInstructions> {
  if (method !== 'PUT' || uploadId !== undefined || partNumber !== undefined) {
    throw new ApiError('INVALID_REQUEST', 'signRequest sends files in one request here: set shouldUseMultipart: false. For files in parts use companionEndpoint with an upload ticket (POST /uploads/tickets).')
  }
  const filename = key.split('/').at(-1)?.replace(PROPOSED_PREFIX, '') || 'file'
  return await createSingle(services, mount, { filename, type: contentType, metadata: [['size', size]] }, 'always')
}
