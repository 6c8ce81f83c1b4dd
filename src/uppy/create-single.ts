import { ApiError } from '../errors.js'
import { checkAdmission, getPolicy } from '../policies/check-upload.js'
import type { Policy, UploadMethod } from '../policies/policy.js'
import type { Services } from '../services.js'
import { createUppyUpload, type UppyFile } from './create-uppy-upload.js'
import type { Mount } from './mount.js'

export type SingleInstructions = {
  readonly fileId: string
  /** The final key, or of a form the one that it writes to; both hold the id of the file. */
  readonly key: string
  readonly bucket: string
  readonly url: string
  /** Seconds. */
  readonly expires: number
} & ({ readonly method: 'POST', readonly fields: Readonly<Record<string, string>> } | { readonly method: 'PUT', readonly headers: Readonly<Record<string, string>> })

/**
 * An upload of one request. A form takes a file whose size nobody has declared, and every Uppy can send it.
 * @param prefersPut for a client that can send a PUT and says how large it is: `always`, or only where the policy has no forms
 * @throws {ApiError} INVALID_REQUEST when there is no way, saying what to change, and what createUpload throws
 */
export async function createSingle (services: Services, mount: Mount, file: UppyFile, prefersPut: 'always' | 'without-forms' | 'never'): Promise<SingleInstructions> {
  const policy = getPolicy(services.policies, mount.policy)
  checkAdmission(policy, mount.user)
  const { file: created, upload } = await createUppyUpload(services, mount, file, sizeBytes => chooseMethod(policy, sizeBytes, prefersPut))
  if (upload === undefined || upload.method === 'multipart') throw new ApiError('UPLOAD_EXPIRED', 'This upload has just been given up. Create a new one.')
  const common = { fileId: created.id, bucket: created.bucket, url: upload.url, expires: secondsUntil(upload.expiresAt, services.now()) }
  return upload.method === 'POST'
    ? { method: upload.method, fields: upload.fields, key: upload.fields['key'] ?? created.key, ...common }
    : { method: upload.method, headers: upload.headers, key: created.stagingKey ?? created.key, ...common }
}

function chooseMethod (policy: Policy, sizeBytes: number | undefined, prefersPut: 'always' | 'without-forms' | 'never'): UploadMethod {
  const hasForms = policy.methods.includes('POST')
  const canPut = sizeBytes !== undefined && prefersPut !== 'never' && policy.methods.includes('PUT')
  if (canPut && (prefersPut === 'always' || !hasForms)) return 'PUT'
  if (hasForms) return 'POST'
  const ways = [
    'let the policy take forms (methods: POST)',
    ...(prefersPut !== 'never' && policy.methods.includes('PUT') ? ['send the size of the file as "size" in the metadata'] : []),
    ...(policy.methods.includes('multipart') ? ['set shouldUseMultipart: true in Uppy'] : [])
  ]
  throw new ApiError('INVALID_REQUEST', `The policy "${policy.name}" takes ${policy.methods.join(' and ')}, and this client has to send a form: ${ways.join(', or ')}.`)
}

function secondsUntil (expiresAt: string, now: Date): number {
  return Math.max(0, Math.floor((new Date(expiresAt).getTime() - now.getTime()) / 1000))
}
