import type { PendingFile } from '../files/file.js'
import { ApiError } from '../errors.js'
import type { UploadMethod } from '../policies/policy.js'
import type { Services } from '../services.js'
import { createUpload, type CreatedUpload } from '../uploads/create-uploads.js'
import type { Mount } from './mount.js'
import { readMetadata } from './read-metadata.js'

/** What Uppy sends for a file without a type. */
const UNKNOWN_TYPE = 'application/octet-stream'
/** Uppy says nothing when a single file has arrived: somebody has to look. */
const FIRST_CHECK_MS = 5_000

export interface UppyFile {
  readonly filename: string
  readonly type: string | undefined
  readonly metadata: ReadonlyArray<readonly [name: string, value: unknown]>
}

/**
 * Creates one upload for a client that sends what Uppy sends. With a size in the metadata, that size is bound;
 * otherwise the policy's most is reserved until the bytes are there.
 * @param chooseMethod decides by the declared size
 */
export async function createUppyUpload (services: Services, { user, policy }: Mount, { filename, type, metadata }: UppyFile, chooseMethod: (sizeBytes: number | undefined) => UploadMethod): Promise<CreatedUpload> {
  const { name, sizeBytes, metadata: kept } = readMetadata(metadata)
  const method = chooseMethod(sizeBytes)
  return await createUpload(services, user, {
    policy,
    filename: name ?? filename,
    contentType: type || UNKNOWN_TYPE,
    ...(sizeBytes !== undefined && { sizeBytes }),
    method,
    metadata: kept
  }, method === 'multipart' ? { hasClientParts: true } : { firstCheckMs: FIRST_CHECK_MS })
}

/** A multipart upload that S3 knows of. */
export async function createUppyMultipart (services: Services, mount: Mount, file: UppyFile): Promise<PendingFile & { readonly multipartUploadId: string }> {
  const { file: created } = await createUppyUpload(services, mount, file, () => 'multipart')
  if (created.status !== 'pending' || created.multipartUploadId === null) throw new ApiError('UPLOAD_EXPIRED', 'This upload has just been given up. Create a new one.')
  return { ...created, multipartUploadId: created.multipartUploadId }
}
