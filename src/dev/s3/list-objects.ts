import { owner } from './buckets.js'
import { uriEncode } from './canonical-request.js'
import { compareKeys } from './key-index.js'
import { quoteEtag, type BucketCall, type Reply } from './operation.js'
import { collectPage, type Page } from './page.js'
import { queryInteger, queryValue, type S3Request } from './request.js'
import { S3Error } from './s3-error.js'
import type { StoredObject } from './stored-object.js'
import { renderXml, type XmlTree } from './xml.js'

/** A page holds a thousand items at most, whatever is asked for. */
const maxPageItems = 1000

export function pageLimit (request: S3Request, name: string): number {
  return Math.min(queryInteger(request, name, { min: 0, max: 2 ** 31 - 1 }) ?? maxPageItems, maxPageItems)
}

/** How names are written in a list: as they are, or as encoding-type=url has them. @throws {S3Error} InvalidArgument for another type */
export function readEncoding (request: S3Request): { readonly name: string | undefined, encode (text: string): string } {
  const name = queryValue(request, 'encoding-type')
  if (name === undefined) return { name, encode: (text) => text }
  if (name !== 'url') throw new S3Error('InvalidArgument', 'Invalid Encoding Method specified in Request', { ArgumentName: 'encoding-type', ArgumentValue: name })
  return { name, encode: (text) => text.split('/').map(uriEncode).join('/').replaceAll('%20', '+') }
}

function collect (bucket: BucketCall['bucket'], request: S3Request, after: string): Page<StoredObject> {
  const prefix = queryValue(request, 'prefix') ?? ''
  const from = compareKeys(prefix, after) > 0 ? prefix : after
  return collectPage(keysBehind(bucket.objects.walk(from), after), { prefix, after, delimiter: queryValue(request, 'delimiter') ?? '', maxItems: pageLimit(request, 'max-keys') })
}

function * keysBehind<Value> (entries: Iterable<readonly [string, Value]>, after: string): Generator<readonly [string, Value]> {
  for (const entry of entries) if (entry[0] !== after || after === '') yield entry
}

function renderContents (objects: readonly StoredObject[], encode: (text: string) => string, withOwner: boolean): XmlTree[] {
  return objects.map((object) => ({
    Key: encode(object.key),
    LastModified: object.lastModified,
    ETag: quoteEtag(object.etag),
    ChecksumAlgorithm: object.checksum?.algorithm,
    ChecksumType: object.checksum?.type,
    Size: object.sizeBytes,
    Owner: withOwner ? owner : undefined,
    StorageClass: object.headers.storageClass
  }))
}

function parseToken (token: string): string {
  const marker = Buffer.from(token, 'base64url').toString('utf8')
  if (token === '' || Buffer.from(marker).toString('base64url') !== token) {
    throw new S3Error('InvalidArgument', 'The continuation token provided is incorrect', { ArgumentName: 'continuation-token', ArgumentValue: token })
  }
  return marker
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html */
function listObjectsV2 ({ bucket, request }: BucketCall): Reply {
  const token = queryValue(request, 'continuation-token')
  const startAfter = queryValue(request, 'start-after')
  const encoding = readEncoding(request)
  const delimiter = queryValue(request, 'delimiter')
  const { items, commonPrefixes, next } = collect(bucket, request, token === undefined ? startAfter ?? '' : parseToken(token))
  return {
    status: 200,
    body: renderXml('ListBucketResult', {
      Name: bucket.stored.name,
      Prefix: encoding.encode(queryValue(request, 'prefix') ?? ''),
      Delimiter: delimiter === undefined ? undefined : encoding.encode(delimiter),
      MaxKeys: pageLimit(request, 'max-keys'),
      KeyCount: items.length + commonPrefixes.length,
      IsTruncated: next !== undefined,
      ContinuationToken: token,
      NextContinuationToken: next === undefined ? undefined : Buffer.from(next.marker).toString('base64url'),
      StartAfter: startAfter === undefined ? undefined : encoding.encode(startAfter),
      EncodingType: encoding.name,
      Contents: renderContents(items, encoding.encode, queryValue(request, 'fetch-owner') === 'true'),
      CommonPrefixes: commonPrefixes.map((prefix) => ({ Prefix: encoding.encode(prefix) }))
    })
  }
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html */
function listObjectsV1 ({ bucket, request }: BucketCall): Reply {
  const marker = queryValue(request, 'marker') ?? ''
  const encoding = readEncoding(request)
  const delimiter = queryValue(request, 'delimiter')
  const { items, commonPrefixes, next } = collect(bucket, request, marker)
  return {
    status: 200,
    body: renderXml('ListBucketResult', {
      Name: bucket.stored.name,
      Prefix: encoding.encode(queryValue(request, 'prefix') ?? ''),
      Marker: encoding.encode(marker),
      // Without a delimiter the last key is the marker, and S3 does not repeat it.
      NextMarker: next === undefined || delimiter === undefined ? undefined : encoding.encode(next.marker),
      Delimiter: delimiter === undefined ? undefined : encoding.encode(delimiter),
      MaxKeys: pageLimit(request, 'max-keys'),
      IsTruncated: next !== undefined,
      EncodingType: encoding.name,
      Contents: renderContents(items, encoding.encode, true),
      CommonPrefixes: commonPrefixes.map((prefix) => ({ Prefix: encoding.encode(prefix) }))
    })
  }
}

export async function listObjects (call: BucketCall): Promise<Reply> {
  const type = queryValue(call.request, 'list-type')
  if (type === undefined) return listObjectsV1(call)
  if (type !== '2') throw new S3Error('InvalidArgument', undefined, { ArgumentName: 'list-type', ArgumentValue: type })
  return listObjectsV2(call)
}
