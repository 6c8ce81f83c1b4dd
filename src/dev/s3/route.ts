import { deleteBucketCors, getBucketCors, putBucketCors } from './bucket-cors.js'
import { createBucket, deleteBucket, deleteBucketLifecycle, getBucketLifecycle, getBucketLocation, headBucket, listBuckets, putBucketLifecycle } from './buckets.js'
import { completeMultipartUpload } from './complete-multipart-upload.js'
import { copyObject } from './copy-object.js'
import { createMultipartUpload } from './create-multipart-upload.js'
import { deleteObject } from './delete-object.js'
import { deleteObjects } from './delete-objects.js'
import { getObject } from './get-object.js'
import { listMultipartUploads, listParts } from './list-multipart-uploads.js'
import { listObjects } from './list-objects.js'
import { checkKey, type BucketCall, type Call, type ObjectCall, type Reply } from './operation.js'
import { readDocument } from './payload.js'
import { putObject } from './put-object.js'
import { header, type S3Request } from './request.js'
import { S3Error } from './s3-error.js'
import { abortMultipartUpload, uploadPart, uploadPartCopy } from './upload-part.js'

type BucketOperation = (call: BucketCall) => Promise<Reply>
type ObjectOperation = (call: ObjectCall) => Promise<Reply>

/** By method and subresource; `copy` stands for a PUT with x-amz-copy-source. */
const bucketOperations = new Map<string, BucketOperation>([
  ['GET', listObjects],
  ['HEAD', headBucket],
  ['DELETE', deleteBucket],
  ['POST delete', deleteObjects],
  ['GET uploads', listMultipartUploads],
  ['GET location', getBucketLocation],
  ['PUT cors', putBucketCors],
  ['GET cors', getBucketCors],
  ['DELETE cors', deleteBucketCors],
  ['PUT lifecycle', putBucketLifecycle],
  ['GET lifecycle', getBucketLifecycle],
  ['DELETE lifecycle', deleteBucketLifecycle]
])

const objectOperations = new Map<string, ObjectOperation>([
  ['PUT', putObject],
  ['GET', getObject],
  ['HEAD', getObject],
  ['DELETE', deleteObject],
  ['PUT copy', copyObject],
  ['POST uploads', createMultipartUpload],
  ['PUT partNumber uploadId', uploadPart],
  ['PUT partNumber uploadId copy', uploadPartCopy],
  ['GET uploadId', listParts],
  ['POST uploadId', completeMultipartUpload],
  ['DELETE uploadId', abortMultipartUpload]
])

/** Subresources and parameters that change what a request means; those that no operation above names are not implemented. */
const subresources = new Set([
  'accelerate', 'acl', 'analytics', 'attributes', 'cors', 'delete', 'encryption', 'intelligent-tiering', 'inventory', 'legal-hold', 'lifecycle', 'location',
  'logging', 'metadataConfiguration', 'metadataTable', 'metrics', 'notification', 'object-lock', 'ownershipControls', 'partNumber', 'policy', 'policyStatus',
  'publicAccessBlock', 'renameObject', 'replication', 'requestPayment', 'restore', 'retention', 'select', 'session', 'tagging', 'torrent', 'uploadId', 'uploads',
  'versionId', 'versioning', 'versions', 'website'
])

function operationName (request: S3Request): string {
  const found = request.query.map(([name]) => name).filter((name) => subresources.has(name)).sort()
  const copies = request.method === 'PUT' && header(request, 'x-amz-copy-source') !== undefined ? ['copy'] : []
  return [request.method, ...found, ...copies].join(' ')
}

function missingOperation (request: S3Request, name: string): S3Error {
  return name === request.method ? new S3Error('MethodNotAllowed', undefined, { Method: request.method }) : new S3Error('NotImplemented', undefined, { Header: name })
}

/** Reads a body that the operation does not want: what was signed must still be what came. */
async function checkEmptyBody ({ request, payload }: Call): Promise<void> {
  if (request.method === 'GET' || request.method === 'HEAD' || request.method === 'DELETE') await readDocument(payload.read(), 1024)
}

/** Finds the operation of a verified request and runs it. */
export async function runOperation (call: Call): Promise<Reply> {
  const { request, store } = call
  const name = operationName(request)
  await checkEmptyBody(call)
  if (request.bucket === undefined) {
    if (name === 'GET') return await listBuckets(call)
    throw missingOperation(request, name)
  }
  if (request.key === undefined) {
    if (name === 'PUT') return await createBucket(call)
    const operation = bucketOperations.get(name)
    if (operation === undefined) throw missingOperation(request, name)
    return await operation({ ...call, bucket: store.getBucket(request.bucket) })
  }
  checkKey(request.key)
  const operation = objectOperations.get(name)
  if (operation === undefined) throw missingOperation(request, name)
  return await operation({ ...call, bucket: store.getBucket(request.bucket), key: request.key })
}
