import type { Upload } from './bucket.js'
import { owner } from './buckets.js'
import { checksumElementName } from './checksums.js'
import { compareKeys } from './key-index.js'
import { pageLimit, readEncoding } from './list-objects.js'
import { quoteEtag, type BucketCall, type ObjectCall, type Reply } from './operation.js'
import { collectPage } from './page.js'
import { queryInteger, queryValue } from './request.js'
import { getUpload } from './upload-part.js'
import { renderXml } from './xml.js'

function compareUploads (a: Upload, b: Upload): number {
  return compareKeys(a.key, b.key) || compareKeys(a.initiatedAt, b.initiatedAt) || compareKeys(a.uploadId, b.uploadId)
}

/** With an upload-id-marker the marker's key is listed on, from behind that upload; without it the key is done. */
function uploadsBehind (uploads: readonly Upload[], keyMarker: string, uploadIdMarker: string): Upload[] {
  const marked = uploads.findIndex(({ key, uploadId }) => key === keyMarker && uploadId === uploadIdMarker)
  return uploads.filter((upload, index) => keyMarker === '' || compareKeys(upload.key, keyMarker) > 0 || (marked >= 0 && upload.key === keyMarker && index > marked))
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html */
export async function listMultipartUploads ({ bucket, request }: BucketCall): Promise<Reply> {
  const encoding = readEncoding(request)
  const prefix = queryValue(request, 'prefix') ?? ''
  const delimiter = queryValue(request, 'delimiter') ?? ''
  const keyMarker = queryValue(request, 'key-marker') ?? ''
  const uploadIdMarker = queryValue(request, 'upload-id-marker') ?? ''
  const maxUploads = pageLimit(request, 'max-uploads')
  const uploads = uploadsBehind([...bucket.uploads.values()].sort(compareUploads), keyMarker, uploadIdMarker)
  const { items, commonPrefixes, next } = collectPage(uploads.map((upload) => [upload.key, upload] as const), { prefix, delimiter, after: keyMarker, maxItems: maxUploads })
  return {
    status: 200,
    body: renderXml('ListMultipartUploadsResult', {
      Bucket: bucket.stored.name,
      KeyMarker: encoding.encode(keyMarker),
      UploadIdMarker: uploadIdMarker,
      NextKeyMarker: next === undefined ? undefined : encoding.encode(next.marker),
      NextUploadIdMarker: next?.item?.uploadId,
      Prefix: encoding.encode(prefix),
      Delimiter: delimiter === '' ? undefined : encoding.encode(delimiter),
      EncodingType: encoding.name,
      MaxUploads: maxUploads,
      IsTruncated: next !== undefined,
      Upload: items.map((upload) => ({
        Key: encoding.encode(upload.key),
        UploadId: upload.uploadId,
        Initiator: owner,
        Owner: owner,
        StorageClass: upload.headers.storageClass,
        Initiated: upload.initiatedAt,
        ChecksumAlgorithm: upload.checksum?.algorithm,
        ChecksumType: upload.checksum?.type
      })),
      CommonPrefixes: commonPrefixes.map((found) => ({ Prefix: encoding.encode(found) }))
    })
  }
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html */
export async function listParts (call: ObjectCall): Promise<Reply> {
  const { bucket, key, request } = call
  const upload = getUpload(call)
  const maxParts = pageLimit(request, 'max-parts')
  const marker = queryInteger(request, 'part-number-marker', { min: 0, max: 2 ** 31 - 1 }) ?? 0
  const behind = [...upload.parts.values()].filter(({ partNumber }) => partNumber > marker).sort((a, b) => a.partNumber - b.partNumber)
  const page = behind.slice(0, maxParts)
  return {
    status: 200,
    body: renderXml('ListPartsResult', {
      Bucket: bucket.stored.name,
      Key: key,
      UploadId: upload.uploadId,
      Initiator: owner,
      Owner: owner,
      StorageClass: upload.headers.storageClass,
      PartNumberMarker: marker,
      NextPartNumberMarker: page.at(-1)?.partNumber ?? 0,
      MaxParts: maxParts,
      IsTruncated: behind.length > page.length,
      ChecksumAlgorithm: upload.checksum?.algorithm,
      ChecksumType: upload.checksum?.type,
      Part: page.map((part) => ({
        PartNumber: part.partNumber,
        LastModified: part.lastModified,
        ETag: quoteEtag(part.etag),
        Size: part.sizeBytes,
        ...(part.checksum === undefined ? {} : { [checksumElementName(part.checksum.algorithm)]: part.checksum.value })
      }))
    })
  }
}
