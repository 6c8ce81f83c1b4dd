import { ApiError } from '../errors.js'
import { findClaim, type User } from '../user.js'
import { chooseMethod } from './choose-method.js'
import { CONTENT_TYPE_RULE, type Policies, type Policy, type UploadMethod } from './policy.js'

export interface UploadRequest {
  readonly contentType: string
  /** Null when the client does not know it yet. */
  readonly sizeBytes: number | null
  readonly method: UploadMethod | 'auto'
  readonly checksumSha256?: string | undefined
  readonly checksumCrc32?: string | undefined
  readonly checksumCrc32c?: string | undefined
  /** Whether the client cuts the file into parts as it likes. */
  readonly hasClientParts?: boolean
}

const contentTypeRule = new RegExp(CONTENT_TYPE_RULE)

/** @throws {ApiError} POLICY_NOT_FOUND */
export function getPolicy (policies: Policies, name: string): Policy {
  const policy = policies.get(name)
  if (!policy) throw new ApiError('POLICY_NOT_FOUND', `There is no policy "${name}". GET /policies lists those you may use.`)
  return policy
}

/**
 * Whether this user may use the policy at all.
 * @throws {ApiError} SCOPE_MISSING, POLICY_FORBIDDEN
 */
export function checkAdmission (policy: Policy, user: User): void {
  const missing = policy.requiredScopes.filter(scope => !user.scopes.has(scope))
  if (missing.length > 0) throw new ApiError('SCOPE_MISSING', `The policy "${policy.name}" needs a token with the scope ${missing.join(' ')}.`)
  for (const [claim, value] of policy.requiredClaims) {
    if (findClaim(user.claims, claim) !== value) throw new ApiError('POLICY_FORBIDDEN', `The policy "${policy.name}" does not admit this user.`)
  }
}

export function isAdmitted (policy: Policy, user: User): boolean {
  return policy.requiredScopes.every(scope => user.scopes.has(scope)) &&
    [...policy.requiredClaims].every(([claim, value]) => findClaim(user.claims, claim) === value)
}

/**
 * How this user may upload such a file under a policy: admission first, then content type, size, checksum and method.
 * @throws {ApiError} SCOPE_MISSING, POLICY_FORBIDDEN, CONTENT_TYPE_NOT_ALLOWED, FILE_TOO_LARGE, INVALID_REQUEST
 */
export function checkUpload (policy: Policy, user: User, request: UploadRequest): UploadMethod {
  checkAdmission(policy, user)
  checkContentType(policy, request)
  checkSize(policy, request)
  checkChecksum(policy, request)
  return checkMethod(policy, request)
}

/** @throws {ApiError} CONTENT_TYPE_NOT_ALLOWED */
export function checkContentType (policy: Policy, { contentType }: UploadRequest): void {
  if (!isContentTypeAllowed(policy.contentTypes, contentType)) {
    throw new ApiError('CONTENT_TYPE_NOT_ALLOWED', `The policy "${policy.name}" takes ${policy.contentTypes.join(', ')}.`)
  }
}

/** @throws {ApiError} FILE_TOO_LARGE, INVALID_REQUEST */
export function checkSize (policy: Policy, { sizeBytes }: UploadRequest): void {
  if (sizeBytes === null) return
  if (sizeBytes > policy.maxSizeBytes) {
    throw new ApiError('FILE_TOO_LARGE', `The policy "${policy.name}" takes files of up to ${policy.maxSizeBytes} bytes; this one has ${sizeBytes}.`)
  }
  if (sizeBytes < policy.minSizeBytes) throw invalid('/sizeBytes', `The policy "${policy.name}" takes files of at least ${policy.minSizeBytes} bytes.`)
}

/** @throws {ApiError} INVALID_REQUEST */
export function checkChecksum (policy: Policy, request: UploadRequest): void {
  if (policy.checksumRequired && request.checksumSha256 === undefined) {
    throw invalid('/checksumSha256', `The policy "${policy.name}" needs the SHA-256 of the file.`)
  }
  const checksums = [request.checksumSha256, request.checksumCrc32, request.checksumCrc32c].filter(value => value !== undefined)
  if (checksums.length > 1) throw invalid('/checksumSha256', 'S3 takes one checksum per file: give one of them.')
}

/** @throws {ApiError} POLICY_FORBIDDEN, INVALID_REQUEST */
export function checkMethod (policy: Policy, request: UploadRequest): UploadMethod {
  const method = chooseMethod(policy, request.method, request.sizeBytes, request.hasClientParts)
  if (method === 'multipart' && request.checksumSha256 !== undefined) {
    throw invalid('/checksumSha256', 'S3 has no SHA-256 of a file that goes up in parts: give checksumCrc32 or checksumCrc32c, or a SHA-256 per part.')
  }
  return method
}

/**
 * True when one of `allowed` is exactly this type or the wildcard of its kind. No wildcard includes what ends with `+xml`, as
 * `image/svg+xml`: such documents can run script. List them by name.
 */
export function isContentTypeAllowed (allowed: readonly string[], contentType: string): boolean {
  if (!contentTypeRule.test(contentType) || contentType.endsWith('/*')) return false
  if (allowed.includes(contentType)) return true
  return !contentType.endsWith('+xml') && allowed.includes(`${contentType.slice(0, contentType.indexOf('/'))}/*`)
}

function invalid (path: string, message: string): ApiError {
  return new ApiError('INVALID_REQUEST', message, { errors: [{ path, message }] })
}
