import type { Services } from '../services.js'
import { signClientParts } from '../uploads/sign-client-parts.js'
import { getUppyUpload, type UploadName } from './find-uppy-upload.js'
import type { Mount } from './mount.js'

/**
 * The URLs of parts by their numbers, and how many seconds they live. One query.
 * @throws {ApiError} UPLOAD_NOT_FOUND, UPLOAD_ALREADY_COMPLETED, UPLOAD_EXPIRED, INVALID_REQUEST
 */
export async function signParts (services: Services, mount: Mount, name: UploadName, partNumbers: readonly number[]): Promise<{ urls: ReadonlyMap<number, string>, expires: number }> {
  const { parts, expiresAt } = await signClientParts(services, await getUppyUpload(services, mount, name), partNumbers)
  return {
    urls: new Map(parts.map(({ partNumber, url }) => [partNumber, url])),
    expires: Math.max(0, Math.floor((expiresAt.getTime() - services.now().getTime()) / 1000))
  }
}
