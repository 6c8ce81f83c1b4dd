import { createHash } from 'node:crypto'

import type { Bucket, Upload } from './bucket.js'
import { checksumElementName, checksumHeaderName, combineChecksums, startChecksum, type Checksum } from './checksums.js'
import { checkWriteConditions } from './conditions.js'
import { readXml } from './documents.js'
import { quoteEtag, wholeSeconds, type ObjectCall, type Reply } from './operation.js'
import { writeConditions } from './put-object.js'
import { header } from './request.js'
import { S3Error } from './s3-error.js'
import type { StoredObject, StoredPart } from './stored-object.js'
import { getUpload } from './upload-part.js'
import { elements, renderXml, text, type XmlElement } from './xml.js'

/** Every part but the last. @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const minPartBytes = 5 * 1024 ** 2
const maxObjectBytes = 50 * 1024 ** 4

interface NamedPart {
  readonly partNumber: number
  readonly etag: string
  readonly element: XmlElement
}

function parseParts (document: XmlElement): NamedPart[] {
  const parts = elements(document, 'Part').map((element) => {
    const number = text(element, 'PartNumber')?.trim() ?? ''
    const etag = text(element, 'ETag')?.trim().replace(/^"(.*)"$/, '$1')
    if (!/^\d+$/.test(number) || etag === undefined) throw new S3Error('MalformedXML')
    return { partNumber: Number(number), etag, element }
  })
  if (parts.length === 0 || parts.length > 10_000) throw new S3Error('MalformedXML')
  return parts
}

function checkPartChecksum ({ checksum }: Upload, { element }: NamedPart, part: StoredPart): boolean {
  if (checksum === undefined) return true
  const given = text(element, checksumElementName(checksum.algorithm))
  if (given === undefined && checksum.type === 'COMPOSITE') {
    throw new S3Error('InvalidRequest', `The upload was created using a ${checksum.algorithm.toLowerCase()} checksum. The complete request must include the checksum for each part. It was missing for part ${part.partNumber} in the request.`)
  }
  return given === undefined || given === part.checksum?.value
}

function choosePart (upload: Upload, named: NamedPart): StoredPart {
  const part = upload.parts.get(named.partNumber)
  if (part?.etag !== named.etag || !checkPartChecksum(upload, named, part)) {
    throw new S3Error('InvalidPart', undefined, { UploadId: upload.uploadId, PartNumber: String(named.partNumber), ETag: named.etag })
  }
  return part
}

function chooseParts (upload: Upload, named: readonly NamedPart[]): StoredPart[] {
  named.forEach((part, index) => {
    if (part.partNumber <= (named[index - 1]?.partNumber ?? 0)) throw new S3Error('InvalidPartOrder', undefined, { UploadId: upload.uploadId })
  })
  const parts = named.map((part) => choosePart(upload, part))
  for (const { partNumber, etag, sizeBytes } of parts.slice(0, -1)) {
    if (sizeBytes < minPartBytes) {
      throw new S3Error('EntityTooSmall', undefined, { ProposedSize: String(sizeBytes), MinSizeAllowed: String(minPartBytes), PartNumber: String(partNumber), ETag: etag })
    }
  }
  return parts
}

/** The full-object kinds are computed over the bytes, read once more, a chunk at a time. */
async function computeChecksum (bucket: Bucket, { checksum }: Upload, parts: readonly StoredPart[], sizeBytes: number): Promise<Checksum | undefined> {
  if (checksum === undefined) return undefined
  if (checksum.type === 'COMPOSITE') return { ...checksum, value: combineChecksums(checksum.algorithm, parts.map((part) => part.checksum?.value ?? '')) }
  const running = startChecksum(checksum.algorithm)
  for await (const chunk of bucket.read({ segments: parts.map(({ segment }) => segment) }, { start: 0, end: sizeBytes - 1 })) running.update(chunk)
  return { ...checksum, value: running.digest().toString('base64') }
}

function checkPromises (request: ObjectCall['request'], checksum: Checksum | undefined, sizeBytes: number): void {
  const size = header(request, 'x-amz-mp-object-size')
  if (size !== undefined && size !== String(sizeBytes)) {
    throw new S3Error('InvalidRequest', `The provided 'x-amz-mp-object-size' header value ${size} does not match what was computed: ${sizeBytes}`)
  }
  const type = header(request, 'x-amz-checksum-type')
  if (type !== undefined && type !== checksum?.type) throw new S3Error('InvalidRequest', 'The checksum type of the request is not the one that the upload was created with.')
  const value = checksum === undefined ? undefined : header(request, checksumHeaderName(checksum.algorithm))
  if (value !== undefined && value !== checksum?.value && !(checksum?.type === 'COMPOSITE' && checksum.value.startsWith(`${value}-`))) {
    throw new S3Error('BadDigest', 'The checksum you specified did not match the calculated checksum.')
  }
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html (MD5 of the parts' MD5s) */
function combineEtags (parts: readonly StoredPart[]): string {
  const hash = createHash('md5')
  for (const { etag } of parts) hash.update(etag, 'hex')
  return `${hash.digest('hex')}-${parts.length}`
}

/**
 * The object takes the parts' files over as they are, so this costs one small file, however many bytes there are.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
 */
export async function completeMultipartUpload (call: ObjectCall): Promise<Reply> {
  const { bucket, key, request, payload, now } = call
  const document = await readXml(payload, 'CompleteMultipartUpload')
  const check = (current: StoredObject | undefined) => checkWriteConditions(writeConditions(request), current)
  const object = await bucket.withUpload(getUpload(call).uploadId, async (upload) => {
    const parts = chooseParts(upload, parseParts(document))
    const sizeBytes = parts.reduce((sum, part) => sum + part.sizeBytes, 0)
    if (sizeBytes > maxObjectBytes) throw new S3Error('EntityTooLarge')
    check(bucket.objects.get(key))
    const checksum = await computeChecksum(bucket, upload, parts, sizeBytes)
    checkPromises(request, checksum, sizeBytes)
    const segments = parts.map(({ segment }) => segment)
    const completed = { key, etag: combineEtags(parts), sizeBytes, lastModified: wholeSeconds(now), headers: upload.headers, checksum, segments }
    await bucket.commit(completed, check)
    await bucket.endUpload(upload, segments)
    return completed
  })
  return {
    status: 200,
    body: renderXml('CompleteMultipartUploadResult', {
      Location: `http://${request.host}/${bucket.stored.name}/${key.split('/').map(encodeURIComponent).join('/')}`,
      Bucket: bucket.stored.name,
      Key: key,
      ETag: quoteEtag(object.etag),
      ...(object.checksum === undefined ? {} : { [checksumElementName(object.checksum.algorithm)]: object.checksum.value, ChecksumType: object.checksum.type })
    })
  }
}
