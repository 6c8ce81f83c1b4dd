import { checkBody } from './check-body.js'
import { checksumElementName, parseChecksumAlgorithm } from './checksums.js'
import { checkWriteConditions } from './conditions.js'
import { checkCopySize, getCopySource } from './copy-source.js'
import { joinHeaders, pickObjectHeaders } from './object-headers.js'
import { checkSupportedHeaders, quoteEtag, wholeSeconds, type ObjectCall, type Reply } from './operation.js'
import { readDocument } from './payload.js'
import { writeConditions } from './put-object.js'
import { header } from './request.js'
import { S3Error } from './s3-error.js'
import type { ObjectHeaders, StoredObject } from './stored-object.js'
import { renderXml } from './xml.js'

/** Storage class and website redirect are the request's own in either case. */
function chooseHeaders (request: ObjectCall['request'], source: ObjectHeaders): { readonly headers: ObjectHeaders, readonly changes: boolean } {
  const directive = header(request, 'x-amz-metadata-directive') ?? 'COPY'
  const given = pickObjectHeaders(joinHeaders(request.headers))
  if (directive === 'REPLACE') return { headers: given, changes: true }
  if (directive !== 'COPY') throw new S3Error('InvalidArgument', 'Unknown metadata directive.', { ArgumentName: 'x-amz-metadata-directive', ArgumentValue: directive })
  const { 'x-amz-website-redirect-location': dropped, ...system } = source.system
  const redirect = given.system['x-amz-website-redirect-location']
  return {
    headers: { ...source, system: redirect === undefined ? system : { ...system, 'x-amz-website-redirect-location': redirect }, storageClass: given.storageClass },
    changes: redirect !== dropped || header(request, 'x-amz-storage-class') !== undefined
  }
}

/**
 * The copy is one object of one part whatever its source was, so its ETag is the MD5 of its bytes.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
 */
export async function copyObject (call: ObjectCall): Promise<Reply> {
  const { bucket, key, request, payload, now } = call
  checkSupportedHeaders(request)
  await readDocument(payload.read(), 0)
  const source = getCopySource(call)
  checkCopySize(source.object.sizeBytes)
  const { headers, changes } = chooseHeaders(request, source.object.headers)
  if (source.bucket === bucket && source.object.key === key && !changes) {
    throw new S3Error('InvalidRequest', 'This copy request is illegal because it is trying to copy an object to itself without changing the object\'s metadata, storage class, website redirect location or encryption attributes.')
  }
  const check = (current: StoredObject | undefined) => checkWriteConditions(writeConditions(request), current)
  check(bucket.objects.get(key))

  const named = header(request, 'x-amz-checksum-algorithm')
  const algorithm = named === undefined ? source.object.checksum?.algorithm : parseChecksumAlgorithm(named)
  const bytes = source.bucket.read(source.object, { start: 0, end: source.object.sizeBytes - 1 })
  const { segment, result } = await bucket.stage(checkBody(bytes, { algorithm }))
  const checksum = result.checksum === undefined ? undefined : { ...result.checksum, type: 'FULL_OBJECT' as const }
  const lastModified = wholeSeconds(now)
  await bucket.commitStaged({ key, etag: result.md5, sizeBytes: result.sizeBytes, lastModified, headers, checksum, segments: [segment] }, check)
  return {
    status: 200,
    body: renderXml('CopyObjectResult', {
      LastModified: lastModified,
      ETag: quoteEtag(result.md5),
      ...(checksum === undefined ? {} : { [checksumElementName(checksum.algorithm)]: checksum.value, ChecksumType: checksum.type })
    })
  }
}
