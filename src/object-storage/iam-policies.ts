/** A document as AWS IAM and stores that follow it take it. */
export interface IamPolicy {
  readonly Version: '2012-10-17'
  readonly Statement: readonly IamStatement[]
}

interface IamStatement {
  readonly Sid: string
  readonly Effect: 'Allow' | 'Deny'
  readonly Principal?: '*'
  readonly Action: string | readonly string[]
  readonly Resource: readonly string[]
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>
}

export interface BucketUse {
  readonly bucket: string
  /** What keys begin with; the empty string is all of the bucket. */
  readonly prefixes: readonly string[]
  /** What keys of files that are not verified yet begin with; one of `prefixes`. */
  readonly stagingPrefix: string
  /** The longest that a URL may live. */
  readonly maxUrlSeconds: number
}

/**
 * What the credentials of the service have to be allowed, its sweeper's and `presignd sweep`'s too, and no more.
 * ListBucket makes S3 answer 404 and not 403 for a key that is missing, which is how an upload that has not arrived is
 * told from a fault.
 */
export function servicePolicy (uses: readonly BucketUse[]): IamPolicy {
  return policyFor(uses, ['s3:GetObject', 's3:PutObject', 's3:DeleteObject', 's3:AbortMultipartUpload', 's3:ListMultipartUploadParts'])
}

/** What `presignd reconcile --apply` needs, which never writes an object. */
export function reconcilePolicy (uses: readonly BucketUse[]): IamPolicy {
  return policyFor(uses, ['s3:GetObject', 's3:DeleteObject', 's3:AbortMultipartUpload'])
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html */
function policyFor (uses: readonly BucketUse[], actions: readonly string[]): IamPolicy {
  return {
    Version: '2012-10-17',
    Statement: [
      {
        Sid: 'Objects',
        Effect: 'Allow',
        Action: actions,
        Resource: uses.flatMap(({ bucket, prefixes }) => prefixes.map(prefix => `arn:aws:s3:::${bucket}/${prefix}*`))
      },
      {
        Sid: 'Buckets',
        Effect: 'Allow',
        Action: ['s3:ListBucket', 's3:ListBucketMultipartUploads'],
        Resource: uses.map(({ bucket }) => `arn:aws:s3:::${bucket}`)
      }
    ]
  }
}

/** What `presignd doctor` needs besides, to read the settings of buckets and, with `--apply`, to write them. */
export function doctorPolicy (uses: readonly BucketUse[]): IamPolicy {
  return {
    Version: '2012-10-17',
    Statement: [{
      Sid: 'Settings',
      Effect: 'Allow',
      Action: ['s3:GetBucketCORS', 's3:PutBucketCORS', 's3:GetLifecycleConfiguration', 's3:PutLifecycleConfiguration', 's3:GetBucketPublicAccessBlock'],
      Resource: uses.map(({ bucket }) => `arn:aws:s3:::${bucket}`)
    }]
  }
}

/**
 * What the bucket itself should refuse, whoever asks: plain HTTP, URLs that are older than any that is handed out, and
 * headers that a URL does not bind but a store may obey. Copies out of staging are what seals forms.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/bucket-policy-s3-sigv4-conditions.html
 */
export function bucketPolicy ({ bucket, stagingPrefix, maxUrlSeconds }: BucketUse): IamPolicy {
  const objects = [`arn:aws:s3:::${bucket}/*`]
  const deny = (sid: string, action: string, condition: NonNullable<IamStatement['Condition']>, resource: readonly string[] = objects): IamStatement =>
    ({ Sid: sid, Effect: 'Deny', Principal: '*', Action: action, Resource: resource, Condition: condition })
  return {
    Version: '2012-10-17',
    Statement: [
      deny('OnlyTls', 's3:*', { Bool: { 'aws:SecureTransport': 'false' } }, [`arn:aws:s3:::${bucket}`, ...objects]),
      // Milliseconds; a header that is signed anew for each request is never this old.
      deny('NoOldUrls', 's3:*', { NumericGreaterThan: { 's3:signatureAge': String(maxUrlSeconds * 1000) } }),
      deny('NoAcl', 's3:PutObject', { StringLike: { 's3:x-amz-acl': '?*' } }),
      deny('NoCopy', 's3:PutObject', { StringLike: { 's3:x-amz-copy-source': '?*' }, StringNotLike: { 's3:x-amz-copy-source': `${bucket}/${stagingPrefix}*` } })
    ]
  }
}
