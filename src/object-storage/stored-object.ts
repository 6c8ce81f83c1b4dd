import type { HeadObjectCommandOutput } from '@aws-sdk/client-s3'
import type { Checksum, StoredObject } from './object-storage.js'

/**
 * A request with `If-None-Match` makes `fetch` add one of these by itself, and S3 keeps it with the object. It
 * changes nothing: downloads sign their own cache rule.
 * @see https://fetch.spec.whatwg.org/#http-network-or-cache-fetch steps on the cache mode
 */
const SET_BY_FETCH = new Set(['no-cache', 'max-age=0'])

/**
 * What a HEAD says, in the words of the port.
 * @param addsCacheRules the store adds a cache rule to its replies, which is then not looked at
 */
export function toStoredObject (head: HeadObjectCommandOutput, addsCacheRules: boolean): StoredObject {
  // To take a missing length for zero would reject a good upload.
  if (head.ContentLength === undefined || head.ETag === undefined) throw new Error('The reply has no Content-Length or no ETag')
  const unsigned = {
    'content-encoding': head.ContentEncoding,
    'content-language': head.ContentLanguage,
    'content-disposition': head.ContentDisposition,
    'cache-control': addsCacheRules || SET_BY_FETCH.has(head.CacheControl ?? '') ? undefined : head.CacheControl,
    expires: addsCacheRules ? undefined : head.ExpiresString,
    'x-amz-website-redirect-location': head.WebsiteRedirectLocation
  }
  return {
    sizeBytes: head.ContentLength,
    etag: head.ETag,
    contentType: head.ContentType ?? '',
    checksums: head.ChecksumType === 'COMPOSITE' ? [] : toChecksums(head),
    unsignedHeaders: [
      ...Object.entries(unsigned).filter(([, value]) => value !== undefined && value !== '').map(([name]) => name),
      ...Object.keys(head.Metadata ?? {}).map(name => `x-amz-meta-${name}`)
    ]
  }
}

export function toChecksums (said: { readonly ChecksumSHA256?: string | undefined, readonly ChecksumCRC32?: string | undefined, readonly ChecksumCRC32C?: string | undefined }): Checksum[] {
  const found = { SHA256: said.ChecksumSHA256, CRC32: said.ChecksumCRC32, CRC32C: said.ChecksumCRC32C }
  return Object.entries(found).flatMap(([algorithm, value]) => value === undefined ? [] : [{ algorithm: algorithm as Checksum['algorithm'], value }])
}
