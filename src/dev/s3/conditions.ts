import { S3Error } from './s3-error.js'
import type { StoredObject } from './stored-object.js'

/** The four conditions of a read or of a copy's source, as written. */
export interface ReadConditions {
  readonly ifMatch: string | undefined
  readonly ifNoneMatch: string | undefined
  readonly ifModifiedSince: string | undefined
  readonly ifUnmodifiedSince: string | undefined
}

function matches (etags: string, etag: string): boolean {
  return etags.split(',').map((candidate) => candidate.trim().replace(/^W\//, '').replace(/^"(.*)"$/, '$1')).some((candidate) => candidate === '*' || candidate === etag)
}

/** Undefined for a date that cannot be read: HTTP says to ignore the condition then (RFC 9110 section 13.1.3). */
function parseDate (value: string | undefined): number | undefined {
  const time = value === undefined ? Number.NaN : Date.parse(value)
  return Number.isNaN(time) ? undefined : time
}

/**
 * An ETag condition that holds makes the date condition beside it irrelevant.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
 */
export function evaluateReadConditions (conditions: ReadConditions, object: StoredObject): 'holds' | 'failed' | 'not-modified' {
  const modified = Date.parse(object.lastModified)
  const unmodifiedSince = parseDate(conditions.ifUnmodifiedSince)
  if (conditions.ifMatch !== undefined) {
    if (!matches(conditions.ifMatch, object.etag)) return 'failed'
  } else if (unmodifiedSince !== undefined && modified > unmodifiedSince) return 'failed'

  const modifiedSince = parseDate(conditions.ifModifiedSince)
  if (conditions.ifNoneMatch !== undefined) {
    if (matches(conditions.ifNoneMatch, object.etag)) return 'not-modified'
  } else if (modifiedSince !== undefined && modified <= modifiedSince) return 'not-modified'
  return 'holds'
}

/**
 * Throws unless the key may be written. Called before the body, to refuse early, and again at the commit, where it decides.
 * @throws {S3Error} PreconditionFailed, or NoSuchKey for If-Match on nothing.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
 */
export function checkWriteConditions (conditions: { readonly ifMatch: string | undefined, readonly ifNoneMatch: string | undefined }, current: StoredObject | undefined): void {
  const { ifMatch, ifNoneMatch } = conditions
  if (ifNoneMatch !== undefined && ifNoneMatch !== '*') throw new S3Error('NotImplemented', undefined, { Header: 'If-None-Match' })
  if (ifNoneMatch !== undefined && ifMatch !== undefined) throw new S3Error('NotImplemented', undefined, { Header: 'If-Match, If-None-Match' })
  if (ifNoneMatch !== undefined && current !== undefined) throw new S3Error('PreconditionFailed', undefined, { Condition: 'If-None-Match' })
  if (ifMatch === undefined) return
  if (current === undefined) throw new S3Error('NoSuchKey')
  if (!matches(ifMatch, current.etag)) throw new S3Error('PreconditionFailed', undefined, { Condition: 'If-Match' })
}
