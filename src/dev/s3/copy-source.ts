import type { Bucket } from './bucket.js'
import { evaluateReadConditions } from './conditions.js'
import { checkKey, maxPutBytes, type ObjectCall } from './operation.js'
import { header } from './request.js'
import { S3Error } from './s3-error.js'
import type { StoredObject } from './stored-object.js'

export interface CopySource {
  readonly bucket: Bucket
  readonly object: StoredObject
}

/**
 * The object that x-amz-copy-source names, if its conditions hold.
 * @throws {S3Error} NoSuchBucket, NoSuchKey, PreconditionFailed
 */
export function getCopySource ({ store, request }: ObjectCall): CopySource {
  const value = header(request, 'x-amz-copy-source') ?? ''
  const [encoded = '', version] = value.split('?')
  if (version !== undefined) throw new S3Error('NotImplemented', undefined, { Header: 'x-amz-copy-source' })
  const match = /^\/?([^/]+)\/(.+)$/s.exec(decode(encoded))
  if (match?.[1] === undefined || match[2] === undefined) throw invalidSource(value)
  checkKey(match[2])
  const bucket = store.getBucket(match[1])
  const object = bucket.objects.get(match[2])
  if (object === undefined) throw new S3Error('NoSuchKey', undefined, { Key: match[2] })
  const outcome = evaluateReadConditions({
    ifMatch: header(request, 'x-amz-copy-source-if-match'),
    ifNoneMatch: header(request, 'x-amz-copy-source-if-none-match'),
    ifModifiedSince: header(request, 'x-amz-copy-source-if-modified-since'),
    ifUnmodifiedSince: header(request, 'x-amz-copy-source-if-unmodified-since')
  }, object)
  if (outcome !== 'holds') throw new S3Error('PreconditionFailed')
  return { bucket, object }
}

function invalidSource (value: string): S3Error {
  return new S3Error('InvalidArgument', 'Copy Source must mention the source bucket and key: sourcebucket/sourcekey', { ArgumentName: 'x-amz-copy-source', ArgumentValue: value })
}

function decode (encoded: string): string {
  try {
    return decodeURIComponent(encoded)
  } catch {
    throw invalidSource(encoded)
  }
}

/** @throws {S3Error} InvalidRequest above the largest body of one copy */
export function checkCopySize (sizeBytes: number): void {
  if (sizeBytes > maxPutBytes) throw new S3Error('InvalidRequest', `The specified copy source is larger than the maximum allowable size for a copy source: ${maxPutBytes}`)
}
