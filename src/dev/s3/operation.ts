import type { Bucket } from './bucket.js'
import type { Payload } from './payload.js'
import { header, type S3Request } from './request.js'
import { S3Error } from './s3-error.js'
import type { Store } from './store.js'

/** A verified request with what an operation needs to answer it. */
export interface Call {
  readonly store: Store
  readonly region: string
  readonly request: S3Request
  readonly payload: Payload
  readonly now: Date
}

export interface BucketCall extends Call {
  readonly bucket: Bucket
}

export interface ObjectCall extends BucketCall {
  readonly key: string
}

export interface Reply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  /** Text is XML; bytes need a content-length header. */
  readonly body?: string | AsyncIterable<Buffer>
}

/** Seconds are as fine as Last-Modified can say. */
export function wholeSeconds (date: Date): string {
  return `${date.toISOString().slice(0, 19)}.000Z`
}

export function quoteEtag (etag: string): string {
  return `"${etag}"`
}

/** The largest body of a single PUT, a part and a copy. @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
export const maxPutBytes = 5 * 1024 ** 3

/** @throws {S3Error} EntityTooLarge, before any byte was read */
export function checkPutSize (sizeBytes: number): void {
  if (sizeBytes > maxPutBytes) throw new S3Error('EntityTooLarge', undefined, { ProposedSize: String(sizeBytes), MaxSizeAllowed: String(maxPutBytes) })
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html (1,024 bytes of UTF-8) */
export function checkKey (key: string): void {
  const sizeBytes = Buffer.byteLength(key)
  if (sizeBytes > 1024) throw new S3Error('KeyTooLongError', undefined, { Size: String(sizeBytes), MaxSizeAllowed: '1024' })
}

const cannedAcls = new Set(['private', 'public-read', 'public-read-write', 'authenticated-read', 'aws-exec-read', 'bucket-owner-read', 'bucket-owner-full-control'])

/** A canned ACL is accepted and changes nothing: the one key pair owns everything and nobody else is let in. */
export function checkAcl (acl: string | undefined): void {
  if (acl !== undefined && !cannedAcls.has(acl)) throw new S3Error('InvalidArgument', undefined, { ArgumentName: 'x-amz-acl', ArgumentValue: acl })
}

const unsupportedHeaders = /^x-amz-(?:server-side-encryption|grant-|tagging$|object-lock-|write-offset-bytes$|copy-source-server-side-)/

/** @throws {S3Error} NotImplemented rather than leave out in silence what was asked for. */
export function checkSupportedHeaders (request: S3Request): void {
  const found = [...request.headers.keys()].find((name) => unsupportedHeaders.test(name))
  if (found !== undefined) throw new S3Error('NotImplemented', undefined, { Header: found })
  checkAcl(header(request, 'x-amz-acl'))
}
