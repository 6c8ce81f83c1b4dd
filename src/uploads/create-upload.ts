import { ApiError } from '../errors.js'
import type { FileId, PendingFile, ReadyFile } from '../files/file.js'
import { cleanFilename } from '../files/filename.js'
import { checkUpload, getPolicy } from '../policies/check-upload.js'
import { renderObjectKey } from '../policies/object-key.js'
import type { Services } from '../services.js'
import { ownerScope, type User } from '../user.js'
import type { CreateUploadBody } from './schemas.js'
import { signInstructions, uploadUrlTtlSeconds, urlDeadline } from './upload-instructions.js'

/** When the sweeper looks first for the object of a client that vanished after its PUT. */
const FIRST_CHECK_MS = 60_000

/**
 * Checks the policy, remembers the file as pending, and only then signs: no URL leaves without its row.
 * @throws {ApiError} POLICY_NOT_FOUND, what `checkUpload` throws, FILE_NOT_FOUND and FILE_NOT_READY for `replaces`
 */
export async function createUpload (services: Services, user: User, body: CreateUploadBody) {
  const policy = getPolicy(services.policies, body.policy)
  checkUpload(policy, user, { ...body, method: body.method ?? 'auto' })
  const replaced = body.replaces === undefined ? null : await getReplaceable(services, user, body.replaces, policy.name)
  const id = services.newId() as FileId
  const owner = replaced?.owner ?? user.owner
  const now = services.now()
  const file = await services.files.insertPending({
    id,
    tenant: user.tenant,
    owner,
    policy: policy.name,
    filename: cleanFilename(body.filename),
    contentType: body.contentType,
    sizeBytes: body.sizeBytes,
    checksumSha256: body.checksumSha256 ?? null,
    visibility: policy.visibility,
    bucket: services.config.s3.bucket,
    key: renderObjectKey(policy.keyTemplate, { tenant: user.tenant, owner, fileId: id, filename: body.filename, createdAt: now }),
    metadata: body.metadata ?? {},
    replaces: replaced?.id ?? null,
    urlDeadline: urlDeadline(now, uploadUrlTtlSeconds(services, policy.name)),
    nextCheckAt: new Date(now.getTime() + FIRST_CHECK_MS),
    createdAt: now
  })
  return { file: file satisfies PendingFile, upload: await signInstructions(services, file, now) }
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
