import { ApiError } from '../errors.js'
import type { FileId, ReadyFile } from '../files/file.js'
import type { NewFile } from '../files/file-row.js'
import { cleanFilename } from '../files/filename.js'
import type { Checksum } from '../object-storage/object-storage.js'
import { checkUpload, getPolicy } from '../policies/check-upload.js'
import { choosePartSize } from '../policies/choose-method.js'
import { renderObjectKey, renderStagingKey } from '../policies/object-key.js'
import type { Quota } from '../policies/policy.js'
import type { Services } from '../services.js'
import { ownerScope, type User } from '../user.js'
import type { CreateUploadBody } from './schemas.js'
import { partsDeadline, uploadUrlTtlSeconds, urlDeadline } from './upload-instructions.js'

/** When the sweeper looks first for the object of a client that vanished after its upload. */
const FIRST_CHECK_MS = 60_000

/** What the way that a request came by says of the upload, besides the request. */
export interface Origin {
  /** The client cuts the file into parts as it likes, and says at the end which there are. */
  readonly hasClientParts?: boolean
  /** When the sweeper looks first, where the client is not known to call complete. */
  readonly firstCheckMs?: number
}

/**
 * The row that a request asks for, once its policy allows it. What a ticket creates counts against it.
 * @throws {ApiError} POLICY_NOT_FOUND, what `checkUpload` throws, FILE_NOT_FOUND and FILE_NOT_READY for `replaces`
 */
export async function prepareUpload (services: Services, user: User, body: CreateUploadBody, idempotency: NewFile['idempotency'], { hasClientParts = false, firstCheckMs = FIRST_CHECK_MS }: Origin = {}): Promise<{ file: NewFile, quota: Quota, ticketId: string | undefined }> {
  const policy = getPolicy(services.policies, body.policy)
  if (user.ticket && user.ticket.policy !== policy.name) throw new ApiError('POLICY_FORBIDDEN', `The ticket is not for the policy "${policy.name}".`)
  const sizeBytes = body.sizeBytes ?? null
  const { contentType, checksumSha256, checksumCrc32, checksumCrc32c } = body
  const method = checkUpload(policy, user, { contentType, sizeBytes, method: body.method ?? 'auto', checksumSha256, checksumCrc32, checksumCrc32c, hasClientParts })
  const replaced = body.replaces === undefined ? null : await getReplaceable(services, user, body.replaces, policy.name)
  const id = services.newId() as FileId
  const owner = replaced?.owner ?? user.owner
  const now = services.now()
  const isSealed = method === 'POST' || (method === 'PUT' && !services.config.s3.conditionalWrites)
  return {
    quota: policy.quota,
    ticketId: user.ticket?.id,
    file: {
      status: 'pending',
      id,
      tenant: user.tenant,
      owner,
      policy: policy.name,
      filename: cleanFilename(body.filename),
      contentType,
      method,
      sizeBytes,
      reservedBytes: sizeBytes ?? Math.min(policy.maxSizeBytes, user.ticket?.maxBytes ?? Infinity),
      partSizeBytes: method === 'multipart' && sizeBytes !== null && !hasClientParts ? choosePartSize(policy, sizeBytes) : null,
      checksum: declaredChecksum(body),
      visibility: policy.visibility,
      bucket: services.buckets.get(policy.bucket ?? '') ?? services.config.s3.bucket,
      key: renderObjectKey(policy.keyTemplate, { tenant: user.tenant, owner, fileId: id, filename: body.filename, createdAt: now }),
      // A form overwrites, and so does a PUT at a store without conditions: clients write beside the final key.
      stagingKey: isSealed ? renderStagingKey(id) : null,
      multipartUploadId: null,
      metadata: body.metadata ?? {},
      replaces: replaced?.id ?? null,
      urlDeadline: hasClientParts ? partsDeadline(services, policy.name, now) : urlDeadline(now, uploadUrlTtlSeconds(services, policy.name)),
      nextCheckAt: new Date(now.getTime() + firstCheckMs),
      version: 1,
      attempts: 0,
      createdAt: now,
      updatedAt: now,
      idempotency
    }
  }
}

function declaredChecksum ({ checksumSha256, checksumCrc32, checksumCrc32c }: CreateUploadBody): Checksum | null {
  if (checksumSha256 !== undefined) return { algorithm: 'SHA256', value: checksumSha256 }
  if (checksumCrc32 !== undefined) return { algorithm: 'CRC32', value: checksumCrc32 }
  return checksumCrc32c === undefined ? null : { algorithm: 'CRC32C', value: checksumCrc32c }
}

async function getReplaceable (services: Services, user: User, id: string, policy: string): Promise<ReadyFile> {
  const file = await services.files.find(id, ownerScope(user))
  if (!file || file.status === 'deleted') throw new ApiError('FILE_NOT_FOUND', 'The file to replace does not exist.')
  if (file.status !== 'ready') throw new ApiError('FILE_NOT_READY', 'Only a ready file can be replaced.')
  if (file.policy !== policy) {
    const message = `The file to replace belongs to the policy "${file.policy}"; use the same one.`
    throw new ApiError('INVALID_REQUEST', message, { errors: [{ path: '/policy', message }] })
  }
  return file
}
