import type { Scope } from './canonical-request.js'
import { header, queryValue, type S3Request } from './request.js'
import { S3Error, type S3ErrorCode } from './s3-error.js'

/** What a client claims about its signature, parsed but not checked. */
export interface Authorization {
  readonly kind: 'header' | 'query'
  readonly accessKeyId: string
  readonly scope: Scope
  /** As the client wrote it, for the string to sign. */
  readonly timestamp: string
  readonly signedAt: Date
  /** Only a query signature has one. */
  readonly expiresInSeconds: number | undefined
  readonly signedHeaders: readonly string[]
  readonly signature: string
  readonly payloadHash: string
}

export interface CredentialScope extends Scope {
  readonly accessKeyId: string
}

/** `AKID/20130524/us-east-1/s3/aws4_request`; an access key may hold slashes. */
export function parseCredential (credential: string, malformed: S3ErrorCode): CredentialScope {
  const match = /^(?<accessKeyId>.+)\/(?<date>\d{8})\/(?<region>[^/]+)\/(?<service>[^/]+)\/aws4_request$/.exec(credential)
  const { accessKeyId = '', date = '', region = '', service = '' } = match?.groups ?? {}
  if (match === null) throw new S3Error(malformed, 'The Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".')
  return { accessKeyId, date, region, service }
}

/** ISO 8601 basic format, for instance 20130524T000000Z; undefined when it is another format or no such day. */
export function parseTimestamp (timestamp: string): Date | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(timestamp)
  if (match === null) return undefined
  const [, year, month, day, hour, minute, second] = match
  const date = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  return Number.isNaN(date.getTime()) ? undefined : date
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html */
function parseHeaderAuthorization (request: S3Request, value: string): Authorization {
  const malformed = (message: string) => new S3Error('AuthorizationHeaderMalformed', `The authorization header is malformed; ${message}`)
  if (!value.startsWith('AWS4-HMAC-SHA256')) {
    throw new S3Error('InvalidRequest', 'The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.')
  }
  const match = /^AWS4-HMAC-SHA256 +Credential=([^,]+), *SignedHeaders=([^,]+), *Signature=([0-9a-f]{64})$/.exec(value)
  const [, credential, signedHeaders, signature] = match ?? []
  if (credential === undefined || signedHeaders === undefined || signature === undefined) {
    throw malformed('it must hold Credential, SignedHeaders and Signature.')
  }
  const { accessKeyId, ...scope } = parseCredential(credential, 'AuthorizationHeaderMalformed')
  const timestamp = header(request, 'x-amz-date')
  const signedAt = timestamp === undefined ? undefined : parseTimestamp(timestamp)
  if (timestamp === undefined || signedAt === undefined) {
    throw new S3Error('AccessDenied', 'AWS authentication requires a valid Date or x-amz-date header')
  }
  if (!timestamp.startsWith(scope.date)) throw malformed(`Invalid credential date "${scope.date}". This date is not the same as X-Amz-Date: "${timestamp.slice(0, 8)}".`)
  const payloadHash = header(request, 'x-amz-content-sha256')
  if (payloadHash === undefined) throw new S3Error('InvalidRequest', 'Missing required header for this request: x-amz-content-sha256')
  return { kind: 'header', accessKeyId, scope, timestamp, signedAt, expiresInSeconds: undefined, signedHeaders: signedHeaders.split(';'), signature, payloadHash }
}

const queryParameters = ['X-Amz-Algorithm', 'X-Amz-Credential', 'X-Amz-Date', 'X-Amz-Expires', 'X-Amz-SignedHeaders', 'X-Amz-Signature']

/** Seven days, the longest life of a presigned URL. */
const maxExpiresSeconds = 604_800

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html */
function parseQueryAuthorization (request: S3Request): Authorization {
  const malformed = (message: string) => new S3Error('AuthorizationQueryParametersError', message)
  const values = new Map(queryParameters.map((name) => {
    const found = request.query.filter(([candidate]) => candidate === name)
    if (found.length > 1) throw malformed(`Query-string authentication allows ${name} only once.`)
    return [name, found[0]?.[1] ?? '']
  }))
  const value = (name: string): string => {
    const found = values.get(name) ?? ''
    if (found === '') throw malformed(`Query-string authentication version 4 requires the ${queryParameters.join(', ')} parameters.`)
    return found
  }
  if (value('X-Amz-Algorithm') !== 'AWS4-HMAC-SHA256') throw malformed('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"')
  const { accessKeyId, ...scope } = parseCredential(value('X-Amz-Credential'), 'AuthorizationQueryParametersError')
  const timestamp = value('X-Amz-Date')
  const signedAt = parseTimestamp(timestamp)
  if (signedAt === undefined) throw malformed('X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd\'T\'HHmmss\'Z\'"')
  if (!timestamp.startsWith(scope.date)) throw malformed(`Invalid credential date "${scope.date}". This date is not the same as X-Amz-Date: "${timestamp.slice(0, 8)}".`)
  const expires = value('X-Amz-Expires')
  if (!/^-?\d+$/.test(expires)) throw malformed('X-Amz-Expires should be a number')
  const expiresInSeconds = Number(expires)
  if (expiresInSeconds < 1) throw malformed('X-Amz-Expires must be positive')
  if (expiresInSeconds > maxExpiresSeconds) {
    throw malformed(`X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than ${maxExpiresSeconds} seconds`)
  }
  const payloadHash = header(request, 'x-amz-content-sha256') ?? queryValue(request, 'X-Amz-Content-Sha256') ?? 'UNSIGNED-PAYLOAD'
  return {
    kind: 'query',
    accessKeyId,
    scope,
    timestamp,
    signedAt,
    expiresInSeconds,
    signedHeaders: value('X-Amz-SignedHeaders').split(';'),
    signature: value('X-Amz-Signature'),
    payloadHash
  }
}

/** @throws {S3Error} AccessDenied for an anonymous request; the code of the first fault of a malformed one. */
export function parseAuthorization (request: S3Request): Authorization {
  const authorization = header(request, 'authorization')
  const inQuery = request.query.some(([name]) => queryParameters.includes(name))
  const oldStyle = request.query.some(([name]) => name === 'Signature' || name === 'AWSAccessKeyId')
  if ([authorization !== undefined, inQuery, oldStyle].filter(Boolean).length > 1) {
    throw new S3Error('InvalidArgument', 'Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified')
  }
  if (oldStyle) throw new S3Error('InvalidRequest', 'The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.')
  if (authorization !== undefined) return parseHeaderAuthorization(request, authorization)
  if (inQuery) return parseQueryAuthorization(request)
  throw new S3Error('AccessDenied')
}
