import { randomBytes } from 'node:crypto'

import { parseChecksumAlgorithm, parseChecksumType } from './checksums.js'
import { joinHeaders, pickObjectHeaders } from './object-headers.js'
import { checkSupportedHeaders, type ObjectCall, type Reply } from './operation.js'
import { readDocument } from './payload.js'
import { header } from './request.js'
import { S3Error } from './s3-error.js'
import type { StoredUpload } from './stored-object.js'
import { renderXml } from './xml.js'

function chooseChecksum (request: ObjectCall['request']): StoredUpload['checksum'] {
  const name = header(request, 'x-amz-checksum-algorithm')
  const type = header(request, 'x-amz-checksum-type')
  if (name === undefined) {
    if (type !== undefined) throw new S3Error('InvalidRequest', 'The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.')
    return undefined
  }
  const algorithm = parseChecksumAlgorithm(name)
  return { algorithm, type: parseChecksumType(algorithm, type) }
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html */
export async function createMultipartUpload ({ bucket, key, request, payload, now }: ObjectCall): Promise<Reply> {
  checkSupportedHeaders(request)
  await readDocument(payload.read(), 0)
  const uploadId = randomBytes(24).toString('hex')
  const checksum = chooseChecksum(request)
  await bucket.createUpload({ uploadId, key, initiatedAt: now.toISOString(), headers: pickObjectHeaders(joinHeaders(request.headers)), checksum })
  return {
    status: 200,
    headers: checksum === undefined ? {} : { 'x-amz-checksum-algorithm': checksum.algorithm, 'x-amz-checksum-type': checksum.type },
    body: renderXml('InitiateMultipartUploadResult', { Bucket: bucket.stored.name, Key: key, UploadId: uploadId })
  }
}
