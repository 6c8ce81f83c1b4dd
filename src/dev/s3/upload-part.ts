import type { Upload } from './bucket.js'
import { checkBody, type CheckedBody } from './check-body.js'
import { checksumElementName, checksumHeaderName } from './checksums.js'
import { checkCopySize, getCopySource, type CopySource } from './copy-source.js'
import { checkPutSize, quoteEtag, wholeSeconds, type ObjectCall, type Reply } from './operation.js'
import { readDocument } from './payload.js'
import type { ByteRange } from './range.js'
import { header, queryValue } from './request.js'
import { S3Error } from './s3-error.js'
import type { StoredPart } from './stored-object.js'
import { renderXml } from './xml.js'

/** @throws {S3Error} NoSuchUpload when there is none of this id for this key */
export function getUpload ({ bucket, key, request }: ObjectCall): Upload {
  const uploadId = queryValue(request, 'uploadId') ?? ''
  const upload = bucket.uploads.get(uploadId)
  if (upload?.key !== key) throw new S3Error('NoSuchUpload', undefined, { UploadId: uploadId })
  return upload
}

function getPartNumber (request: ObjectCall['request']): number {
  const wrong = (): S3Error => new S3Error('InvalidArgument', 'Part number must be an integer between 1 and 10000, inclusive', { ArgumentName: 'partNumber', ArgumentValue: queryValue(request, 'partNumber') ?? '' })
  const partNumber = Number(queryValue(request, 'partNumber') ?? '')
  if (!Number.isInteger(partNumber) || partNumber < 1 || partNumber > 10_000) throw wrong()
  return partNumber
}

async function storePart ({ bucket, now }: ObjectCall, upload: Upload, partNumber: number, body: CheckedBody): Promise<StoredPart> {
  const { segment, result } = await bucket.stage(body)
  const part = { partNumber, etag: result.md5, sizeBytes: result.sizeBytes, lastModified: wholeSeconds(now), checksum: result.checksum, segment }
  await bucket.commitPart(upload.uploadId, part)
  return part
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html */
export async function uploadPart (call: ObjectCall): Promise<Reply> {
  const { request, payload } = call
  const partNumber = getPartNumber(request)
  const upload = getUpload(call)
  checkPutSize(payload.sizeBytes)
  const expected = upload.checksum
  const given = payload.integrity.algorithm
  const isMissing = expected?.type === 'COMPOSITE' && given === undefined
  // Also of an upload that began without any, where AWS has refused a part that has one: https://github.com/apache/arrow-rs/issues/6793
  if ((given !== undefined && given !== expected?.algorithm) || isMissing) {
    throw new S3Error('InvalidRequest', `Checksum Type mismatch occurred, expected checksum Type: ${expected?.algorithm.toLowerCase() ?? 'null'}, actual checksum Type: ${given?.toLowerCase() ?? 'null'}`)
  }
  const part = await storePart(call, upload, partNumber, payload.read(expected?.algorithm))
  return {
    status: 200,
    headers: { etag: quoteEtag(part.etag), ...(part.checksum === undefined ? {} : { [checksumHeaderName(part.checksum.algorithm)]: part.checksum.value }) }
  }
}

function getCopyRange (request: ObjectCall['request'], { object }: CopySource): ByteRange {
  const value = header(request, 'x-amz-copy-source-range')
  if (value === undefined) return { start: 0, end: object.sizeBytes - 1 }
  const invalid = (message: string) => new S3Error('InvalidArgument', message, { ArgumentName: 'x-amz-copy-source-range', ArgumentValue: value })
  const match = /^bytes=(\d+)-(\d+)$/.exec(value)
  const [start, end] = [Number(match?.[1]), Number(match?.[2])]
  if (match === null || start > end) throw invalid('The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy')
  if (end >= object.sizeBytes) throw invalid(`Range specified is not valid for source object of size: ${object.sizeBytes}`)
  return { start, end }
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html */
export async function uploadPartCopy (call: ObjectCall): Promise<Reply> {
  const partNumber = getPartNumber(call.request)
  const upload = getUpload(call)
  await readDocument(call.payload.read(), 0)
  const source = getCopySource(call)
  const range = getCopyRange(call.request, source)
  checkCopySize(range.end - range.start + 1)
  const bytes = source.bucket.read(source.object, range)
  const part = await storePart(call, upload, partNumber, checkBody(bytes, { algorithm: upload.checksum?.algorithm }))
  return {
    status: 200,
    body: renderXml('CopyPartResult', {
      LastModified: part.lastModified,
      ETag: quoteEtag(part.etag),
      ...(part.checksum === undefined ? {} : { [checksumElementName(part.checksum.algorithm)]: part.checksum.value })
    })
  }
}

export async function abortMultipartUpload (call: ObjectCall): Promise<Reply> {
  await call.bucket.withUpload(getUpload(call).uploadId, async (upload) => { await call.bucket.endUpload(upload, []) })
  return { status: 204 }
}
