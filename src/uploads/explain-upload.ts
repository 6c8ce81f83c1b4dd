import { ApiError } from '../errors.js'
import { cleanFilename } from '../files/filename.js'
import { findExceeded, NO_USAGE } from '../files/usage.js'
import { checkAdmission, checkChecksum, checkContentType, checkMethod, checkSize, getPolicy, type UploadRequest } from '../policies/check-upload.js'
import { renderObjectKey } from '../policies/object-key.js'
import type { Policy } from '../policies/policy.js'
import type { Readings } from '../readings.js'
import { strictAjv } from '../strict-ajv.js'
import type { User } from '../user.js'
import { findContentMismatch } from './content-signature.js'
import { quotaExceeded } from './create-uploads.js'
import { CreateUploadBody } from './schemas.js'

/** One thing that is looked at before an upload, or after it. */
export interface Step {
  readonly check: string
  /** What was found, in words for people. */
  readonly found: string
  /** What would be refused, and what to change so that it is not. */
  readonly refusal?: { readonly error: ApiError, readonly change: string }
}

const validateBody = strictAjv().compile(CreateUploadBody)

/**
 * What `POST /uploads` would look at, each check with its result, in its order: the first refusal is the one that a
 * client would get. Nothing is written or signed.
 * @param firstBytes of the file, where they are known: what `complete` would find
 */
export async function * explainUpload (readings: Readings, user: User, body: CreateUploadBody, firstBytes?: Uint8Array): AsyncGenerator<Step> {
  const { config: { policiesFile }, policies } = readings
  if (!validateBody(body)) {
    const message = (validateBody.errors ?? []).map(({ instancePath, message }) => `${instancePath.slice(1)} ${message}`.trim()).join(', ')
    yield refused('request', new ApiError('INVALID_REQUEST', `The body is not valid: ${message}.`), 'Correct these values.')
    return
  }
  let policy: Policy
  try {
    policy = getPolicy(policies, body.policy)
  } catch (error) {
    yield refused('policy', error, `Name one of ${[...policies.keys()].join(', ')}, or add it to ${policiesFile}.`)
    return
  }
  const place = `the policy "${policy.name}" in ${policiesFile}`
  yield { check: 'policy', found: policy.name }

  const request: UploadRequest = { ...body, sizeBytes: body.sizeBytes ?? null, method: body.method ?? 'auto' }
  yield step('admission', () => {
    checkAdmission(policy, user)
    return policy.requiredScopes.length + policy.requiredClaims.size === 0 ? 'open to every user' : `has ${describeNeeds(policy)}`
  }, `The token needs ${describeNeeds(policy)}: ask its issuer for that, or change "require" of ${place}.`)
  yield step('content type', () => {
    checkContentType(policy, request)
    return request.contentType
  }, suggestContentType(request.contentType) ?? `Send one of these types, or add ${request.contentType} to contentTypes of ${place}.`)
  yield step('size', () => {
    checkSize(policy, request)
    return request.sizeBytes === null ? 'not known yet' : `${request.sizeBytes} bytes, of ${policy.minSizeBytes} to ${policy.maxSizeBytes}`
  }, `Send another file, or change ${(request.sizeBytes ?? 0) > policy.maxSizeBytes ? 'maxSize' : 'minSize'} of ${place}.`)
  yield step('checksum', () => {
    checkChecksum(policy, request)
    return policy.checksumRequired ? 'given' : 'not asked for'
  }, `Give checksumSha256, in base64, or change verify.checksum of ${place}.`)
  yield step('method', () => checkMethod(policy, request), `Leave the method to the service, give what it lacks, or change methods of ${place}.`)
  yield await quotaStep(readings, user, policy, request)

  const mismatch = firstBytes && policy.verifyContentType ? await findContentMismatch(request.contentType, firstBytes) : null
  if (mismatch !== null) yield refused('first bytes', new ApiError('OBJECT_MISMATCH', mismatch), 'Declare what the file is. It would be uploaded, and deleted when complete looks at it.')
  else if (firstBytes) yield { check: 'first bytes', found: policy.verifyContentType ? `can be ${request.contentType}` : 'not looked at by this policy' }
}

/** Where the object would be; the id of the file is made with the upload. */
export function renderExpectedKey ({ keyTemplate }: Policy, user: User, filename: string): string {
  return renderObjectKey(keyTemplate, { tenant: user.tenant, owner: user.owner, fileId: '{fileId}', filename: cleanFilename(filename), createdAt: new Date() })
}

function step (check: string, look: () => string, change: string): Step {
  try {
    return { check, found: look() }
  } catch (error) {
    return refused(check, error, change)
  }
}

function refused (check: string, error: unknown, change: string): Step {
  if (!(error instanceof ApiError)) throw error
  return { check, found: error.detail, refusal: { error, change } }
}

async function quotaStep (readings: Readings, user: User, policy: Policy, request: UploadRequest): Promise<Step> {
  const { quota, name } = policy
  if (Object.keys(quota).length === 0) return { check: 'quota', found: 'none' }
  try {
    const usage = (await readings.usageOf(user)).get(name) ?? NO_USAGE
    const limit = findExceeded(usage, quota, request.sizeBytes ?? policy.maxSizeBytes)
    if (limit !== null) throw quotaExceeded(name, { outcome: 'exceeded', limit })
    return { check: 'quota', found: Object.entries(quota).map(([unit, most]) => `${usage[unit as keyof typeof usage]} of ${most} ${unit}`).join(', ') }
  } catch (error) {
    const isFull = error instanceof ApiError && error.code === 'QUOTA_EXCEEDED'
    return refused('quota', error, isFull ? `Delete files or give up uploads of ${user.owner}, or raise quota of the policy "${name}" in ${readings.config.policiesFile}.` : 'Look at DATABASE_URL, and at the database: "presignd migrate" applies what is missing.')
  }
}

function describeNeeds ({ requiredScopes, requiredClaims }: Policy): string {
  return [...requiredScopes.map(scope => `the scope ${scope}`), ...[...requiredClaims].map(([claim, value]) => `the claim ${claim} = ${JSON.stringify(value)}`)].join(' and ')
}

/** A type that is right but for how it is written. */
function suggestContentType (contentType: string): string | null {
  const written = contentType.split(';')[0]?.trim().toLowerCase() ?? ''
  return written === contentType ? null : `Send the type in lower case and without parameters: ${written}.`
}
