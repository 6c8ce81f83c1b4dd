import { timingSafeEqual } from 'node:crypto'

import { parseAuthorization, type Authorization } from './authorization.js'
import { deriveSigningKey, hmacHex, renderCanonicalRequest, renderStringToSign, type Scope } from './canonical-request.js'
import type { Credentials } from './credentials.js'
import { header, queryValue, type S3Request } from './request.js'
import { S3Error } from './s3-error.js'

export interface Verifier {
  readonly credentials: Credentials
  readonly region: string
  now (): Date
}

/** A signature that was found right, with what the signatures of its chunks are chained to. */
export interface Verified extends Authorization {
  readonly signingKey: Buffer
}

/** How far a client's clock may be off. @see https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html (RequestTimeTooSkewed) */
const maxSkewMilliseconds = 15 * 60 * 1000

export function equalsInConstantTime (a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}

/** `fail` words the fault for a header, a query parameter or a form field. */
export function checkScope (scope: Scope, region: string, fail: (message: string, details?: Readonly<Record<string, string>>) => S3Error): void {
  if (scope.region !== region) throw fail(`the region '${scope.region}' is wrong; expecting '${region}'`, { Region: region })
  if (scope.service !== 's3') throw fail(`incorrect service "${scope.service}". This endpoint belongs to "s3".`)
}

function checkAuthorizationScope ({ kind, scope }: Authorization, region: string): void {
  checkScope(scope, region, (message, details) => kind === 'header'
    ? new S3Error('AuthorizationHeaderMalformed', `The authorization header is malformed; ${message}`, details)
    : new S3Error('AuthorizationQueryParametersError', `Error parsing the X-Amz-Credential parameter; ${message}`, details))
}

function checkTime ({ kind, signedAt, expiresInSeconds = 0 }: Authorization, now: Date): void {
  const ageMilliseconds = now.getTime() - signedAt.getTime()
  if (kind === 'header') {
    if (Math.abs(ageMilliseconds) > maxSkewMilliseconds) {
      throw new S3Error('RequestTimeTooSkewed', undefined, { RequestTime: signedAt.toISOString(), ServerTime: now.toISOString(), MaxAllowedSkewMilliseconds: String(maxSkewMilliseconds) })
    }
    return
  }
  if (-ageMilliseconds > maxSkewMilliseconds) {
    throw new S3Error('AccessDenied', 'Request is not yet valid', { 'X-Amz-Date': signedAt.toISOString(), ServerTime: now.toISOString() })
  }
  if (ageMilliseconds > expiresInSeconds * 1000) {
    const expires = new Date(signedAt.getTime() + expiresInSeconds * 1000)
    throw new S3Error('AccessDenied', 'Request has expired', { 'X-Amz-Expires': String(expiresInSeconds), Expires: expires.toISOString(), ServerTime: now.toISOString() })
  }
}

/** "You must include the host header and any x-amz-* headers in the request": one that is not signed could have been added by anybody. */
function checkSignedHeaders (request: S3Request, signedHeaders: readonly string[]): void {
  const signed = new Set(signedHeaders)
  const missing = [...request.headers.keys()].filter((name) => (name === 'host' || name.startsWith('x-amz-')) && !signed.has(name))
  if (missing.length > 0) {
    throw new S3Error('AccessDenied', 'There were headers present in the request which were not signed', { HeadersNotSigned: missing.join(', ') })
  }
}

export function checkAccessKeyId (accessKeyId: string, credentials: Credentials): void {
  if (!equalsInConstantTime(accessKeyId, credentials.accessKeyId)) {
    throw new S3Error('InvalidAccessKeyId', undefined, { AWSAccessKeyId: accessKeyId })
  }
}

/** Temporary keys are none without their token, and lasting ones have none. */
export function checkSessionToken (given: string | undefined, { accessKeyId, sessionToken }: Credentials): void {
  if (given === sessionToken) return
  if (given === undefined) throw new S3Error('InvalidAccessKeyId', undefined, { AWSAccessKeyId: accessKeyId })
  throw new S3Error('InvalidToken')
}

/**
 * Checks who signed the request, when, for which service and what; the body is checked against `payloadHash` while it is read.
 * @throws {S3Error} with the code that S3 documents for the first fault.
 */
export function verifySignature (request: S3Request, verifier: Verifier): Verified {
  const authorization = parseAuthorization(request)
  checkAuthorizationScope(authorization, verifier.region)
  checkTime(authorization, verifier.now())
  checkSignedHeaders(request, authorization.signedHeaders)
  checkSessionToken(header(request, 'x-amz-security-token') ?? queryValue(request, 'X-Amz-Security-Token'), verifier.credentials)
  checkAccessKeyId(authorization.accessKeyId, verifier.credentials)

  const signingKey = deriveSigningKey(verifier.credentials.secretAccessKey, authorization.scope)
  const canonicalRequest = renderCanonicalRequest({ ...request, ...authorization })
  const stringToSign = renderStringToSign(authorization.timestamp, authorization.scope, canonicalRequest)
  if (!equalsInConstantTime(hmacHex(signingKey, stringToSign), authorization.signature)) {
    throw new S3Error('SignatureDoesNotMatch', undefined, { StringToSign: stringToSign, CanonicalRequest: canonicalRequest })
  }
  return { ...authorization, signingKey }
}

const authenticationParameters = new Set(['x-amz-algorithm', 'x-amz-credential', 'x-amz-date', 'x-amz-expires', 'x-amz-signedheaders', 'x-amz-signature', 'x-amz-security-token', 'x-amz-content-sha256'])

/**
 * The request with the `x-amz-*` parameters of a presigned URL read as headers, as S3 does; a header that was sent wins.
 * Call it with a verified request only.
 */
export function withHoistedHeaders (request: S3Request): S3Request {
  const hoisted = request.query
    .map(([name, value]) => [name.toLowerCase(), [value]] as const)
    .filter(([name]) => name.startsWith('x-amz-') && !authenticationParameters.has(name))
  return { ...request, headers: new Map([...hoisted, ...request.headers]) }
}
