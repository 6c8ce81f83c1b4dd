import { maxDocumentBytes, requireDigest } from './documents.js'
import type { BucketCall, Call, Reply } from './operation.js'
import { readDocument } from './payload.js'
import { S3Error } from './s3-error.js'
import { parseXml, renderXml, text } from './xml.js'

/** The store has one owner. */
export const owner = { ID: 'dev', DisplayName: 'dev' }

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html */
export async function listBuckets ({ store }: Call): Promise<Reply> {
  const buckets = [...store.buckets.values()].map(({ stored }) => stored).sort((a, b) => a.name < b.name ? -1 : 1)
  return {
    status: 200,
    body: renderXml('ListAllMyBucketsResult', {
      Owner: owner,
      Buckets: { Bucket: buckets.map(({ name, createdAt }) => ({ Name: name, CreationDate: createdAt })) }
    })
  }
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html */
export async function createBucket ({ store, request, payload, region, now }: Call): Promise<Reply> {
  const document = await readDocument(payload.read(), maxDocumentBytes)
  if (document !== '') {
    const constraint = text(parseXml(document, 'CreateBucketConfiguration'), 'LocationConstraint')
    if (constraint !== undefined && constraint !== region) throw new S3Error('InvalidArgument', `The ${constraint} location constraint is incompatible for the region specific endpoint this request was sent to.`)
  }
  const name = request.bucket ?? ''
  await store.createBucket(name, now)
  return { status: 200, headers: { location: `/${name}` } }
}

export async function headBucket ({ region }: BucketCall): Promise<Reply> {
  return { status: 200, headers: { 'x-amz-bucket-region': region } }
}

export async function deleteBucket ({ store, bucket }: BucketCall): Promise<Reply> {
  await store.deleteBucket(bucket.stored.name)
  return { status: 204 }
}

/** us-east-1 has no name here, for historical reasons. @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html */
export async function getBucketLocation ({ region }: BucketCall): Promise<Reply> {
  const constraint = region === 'us-east-1' ? '' : region
  return { status: 200, body: `<?xml version="1.0" encoding="UTF-8"?>\n<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${constraint}</LocationConstraint>` }
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html */
export async function putBucketLifecycle ({ bucket, payload }: BucketCall): Promise<Reply> {
  requireDigest(payload)
  const document = await readDocument(payload.read(), maxDocumentBytes)
  parseXml(document, 'LifecycleConfiguration')
  await bucket.save({ ...bucket.stored, lifecycleXml: document })
  return { status: 200 }
}

export async function getBucketLifecycle ({ bucket }: BucketCall): Promise<Reply> {
  if (bucket.stored.lifecycleXml === undefined) throw new S3Error('NoSuchLifecycleConfiguration', undefined, { BucketName: bucket.stored.name })
  return { status: 200, body: bucket.stored.lifecycleXml }
}

export async function deleteBucketLifecycle ({ bucket }: BucketCall): Promise<Reply> {
  await bucket.save({ ...bucket.stored, lifecycleXml: undefined })
  return { status: 204 }
}
