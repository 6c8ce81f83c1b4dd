import {
  AbortMultipartUploadCommand, CompleteMultipartUploadCommand, CopyObjectCommand, CreateMultipartUploadCommand, DeleteObjectCommand,
  GetObjectCommand, HeadBucketCommand, HeadObjectCommand, ListMultipartUploadsCommand, ListObjectsV2Command, ListPartsCommand, S3Client, S3ServiceException,
  type ListMultipartUploadsCommandOutput, type ListObjectsV2CommandOutput
} from '@aws-sdk/client-s3'
import { ApiError } from '../errors.js'
import { createClockWatch } from './clock-watch.js'
import { withParts } from './completed-parts.js'
import type { ObjectStorage, PresignedRequest, PresignGet, StoredPart } from './object-storage.js'
import { withoutQuotedSecrets } from './quoted-secrets.js'
import { s3ClientConfig, type S3Address } from './s3-client-config.js'
import { createPresign } from './s3-presign.js'
import type { SignerName } from './signer.js'
import { toChecksums, toStoredObject } from './stored-object.js'

export interface S3Options extends S3Address {
  /** What clients reach the store by, when it is another address. */
  readonly publicEndpoint?: string | undefined
  /** Bind a SHA-256 by the hash of the payload, for stores that do not keep the checksums of AWS. */
  readonly bindsPayload?: boolean
  /** Replies carry a cache rule of the store where an object has none: then those of a client cannot be told from it. */
  readonly addsCacheRules?: boolean
  /** `built-in` when left out. */
  readonly signer?: SignerName
  /** Hears once when the clock here and the store's differ by more than half a minute; positive when this one is ahead. */
  readonly onClockSkew?: (seconds: number) => void
  /** Hears of every call, with its retries as one; `none` when no answer came. */
  readonly onCall?: (operation: string, status: number | 'none') => void
  /** Hears of every URL that ends early, with its credentials. */
  readonly onClamp?: () => void
  /** Has every call of the store, with its retries, go through it. */
  readonly aroundCall?: (<T>(operation: string, call: () => Promise<T>) => Promise<T>) | undefined
  /** Signs the GETs that may go through the CDN in front of the buckets. */
  readonly cdn?: ((get: PresignGet) => PresignedRequest<'GET'>) | undefined
}

/** The whole of one call, retries included. */
const CALL_TIMEOUT_MS = 8_000
/** S3 copies inside itself, at some 100 MB a second or more: 5 GiB, the most, take under a minute. */
const COPY_TIMEOUT_MS = 60_000
/** "Processing of a CompleteMultipartUpload request could take several minutes": its page in the S3 API reference. */
const COMPLETE_TIMEOUT_MS = 300_000
const REACH_TIMEOUT_MS = 2_000
const REQUEST_TIMEOUT_MS = 5_000
/** Parts that are still on their way may land after an abort: the S3 API reference asks to repeat it. */
const MAX_ABORTS = 3
/** What AWS calls bytes that do not have the checksum asked for, and what MinIO does. No repetition changes that. */
const OTHER_BYTES = new Set(['BadDigest', 'XAmzContentChecksumMismatch'])

/**
 * An S3 store: the AWS SDK asks it, one client for the life of the process, credentials from the SDK's own
 * provider chain; URLs are signed here.
 */
export function createS3ObjectStorage ({ publicEndpoint, bindsPayload = false, addsCacheRules = false, signer, onClockSkew = () => {}, onCall = () => {}, onClamp = () => {}, aroundCall, cdn, ...address }: S3Options): ObjectStorage {
  const client = new S3Client(s3ClientConfig(address, REQUEST_TIMEOUT_MS))
  const patient = new S3Client(s3ClientConfig(address, COMPLETE_TIMEOUT_MS))
  // Asks nobody: what watches the others must not take a signature for a call, and no reply sets its clock.
  const signing = new S3Client(s3ClientConfig({ ...address, endpoint: publicEndpoint ?? address.endpoint, credentials: client.config.credentials }, REQUEST_TIMEOUT_MS))
  const clock = createClockWatch(onClockSkew)
  for (const asking of [client, patient]) {
    clock.watch(asking)
    asking.middlewareStack.add((next, { commandName = '' }) => async args => {
      const operation = commandName.replace(/Command$/, '')
      try {
        const result = aroundCall ? await aroundCall(operation, async () => await next(args)) : await next(args)
        onCall(operation, result.output.$metadata.httpStatusCode ?? 'none')
        return result
      } catch (error) {
        onCall(operation, error instanceof S3ServiceException ? error.$metadata.httpStatusCode ?? 'none' : 'none')
        throw error
      }
    }, { step: 'initialize', name: 'onCall' })
  }

  const ask = async <T>(what: string, call: (abort: { abortSignal: AbortSignal }) => Promise<T>, timeoutMs = CALL_TIMEOUT_MS): Promise<T | null> => {
    try {
      return await call({ abortSignal: AbortSignal.timeout(timeoutMs) })
    } catch (error) {
      // 404 and a failed condition are answers; anything else that fails is our 502.
      if (error instanceof S3ServiceException && [404, 412].includes(error.$metadata.httpStatusCode ?? 0)) return null
      throw new ApiError('OBJECT_STORAGE_ERROR', 'The object storage did not answer as expected. Nothing is lost: try again in a moment.', {
        cause: new Error(`${what} failed`, { cause: withoutQuotedSecrets(error) }),
        retryAfterSeconds: 5
      })
    }
  }

  async function listParts (bucket: string, key: string, multipartUploadId: string): Promise<StoredPart[] | null> {
    const parts: StoredPart[] = []
    let marker: string | undefined
    do {
      const command = new ListPartsCommand({ Bucket: bucket, Key: key, UploadId: multipartUploadId, ...(marker !== undefined && { PartNumberMarker: marker }) })
      const page = await ask('ListParts', async abort => await client.send(command, abort))
      if (!page) return null
      for (const part of page.Parts ?? []) {
        parts.push({ partNumber: part.PartNumber ?? 0, etag: part.ETag ?? '', sizeBytes: part.Size ?? 0, checksums: toChecksums(part) })
      }
      marker = page.IsTruncated ? page.NextPartNumberMarker : undefined
    } while (marker !== undefined)
    return parts
  }

  return {
    ...createPresign({ client: signing, bindsPayload, signer, onClamp, cdn, checkClock: bucket => clock.check(async () => await client.send(new HeadBucketCommand({ Bucket: bucket }))) }),

    async headObject ({ bucket, key }) {
      const command = new HeadObjectCommand({ Bucket: bucket, Key: key, ChecksumMode: 'ENABLED' })
      return await ask('HeadObject', async abort => toStoredObject(await client.send(command, abort), addsCacheRules))
    },

    async readFirstBytes ({ bucket, key }, etag, count) {
      const command = new GetObjectCommand({ Bucket: bucket, Key: key, IfMatch: etag, Range: `bytes=0-${count - 1}` })
      return await ask('GetObject', async abort => {
        const { Body } = await client.send(command, abort)
        if (!Body) throw new Error('The reply has no body')
        return await Body.transformToByteArray()
      })
    },

    async copyObject ({ bucket, key }, toKey, { etag, contentType }) {
      const command = new CopyObjectCommand({
        Bucket: bucket,
        Key: toKey,
        CopySource: `${bucket}/${key.split('/').map(encodeURIComponent).join('/')}`,
        CopySourceIfMatch: etag,
        MetadataDirective: 'REPLACE',
        ContentType: contentType
      })
      const copied = await ask('CopyObject', async abort => await patient.send(command, abort), COPY_TIMEOUT_MS)
      return copied && { etag: copied.CopyObjectResult?.ETag ?? '' }
    },

    async deleteObject ({ bucket, key }) {
      await ask('DeleteObject', async abort => await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }), abort))
    },

    async createMultipartUpload ({ bucket, key }, { contentType, checksum }) {
      const command = new CreateMultipartUploadCommand({
        Bucket: bucket,
        Key: key,
        ContentType: contentType,
        ...(checksum && checksum.algorithm !== 'SHA256' && !bindsPayload && { ChecksumAlgorithm: checksum.algorithm, ChecksumType: 'FULL_OBJECT' })
      })
      const created = await ask('CreateMultipartUpload', async abort => await client.send(command, abort))
      if (!created?.UploadId) throw new ApiError('OBJECT_STORAGE_ERROR', 'The object storage did not begin the upload. Try again in a moment.', { retryAfterSeconds: 5 })
      return created.UploadId
    },

    listParts: async ({ bucket, key }, multipartUploadId) => await listParts(bucket, key, multipartUploadId),

    async completeMultipartUpload ({ bucket, key }, multipartUploadId, parts, checksum) {
      const isCompared = checksum !== null && checksum.algorithm !== 'SHA256' && !bindsPayload
      const command = new CompleteMultipartUploadCommand({
        Bucket: bucket,
        Key: key,
        UploadId: multipartUploadId,
        IfNoneMatch: '*',
        ...(isCompared && { [`Checksum${checksum.algorithm}`]: checksum.value, ChecksumType: 'FULL_OBJECT' as const }),
        MultipartUpload: { Parts: [] }
      })
      return await ask('CompleteMultipartUpload', async abort => {
        try {
          await patient.send(await withParts(command, parts), abort)
          return 'completed'
        } catch (error) {
          if (isCompared && error instanceof S3ServiceException && OTHER_BYTES.has(error.name)) return 'other bytes'
          throw error
        }
      }, COMPLETE_TIMEOUT_MS) ?? 'gone'
    },

    async abortMultipartUpload ({ bucket, key }, multipartUploadId) {
      for (let attempt = 0; attempt < MAX_ABORTS; attempt++) {
        await ask('AbortMultipartUpload', async abort => await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key: key, UploadId: multipartUploadId }), abort))
        if (await listParts(bucket, key, multipartUploadId) === null) return
      }
      throw new ApiError('OBJECT_STORAGE_ERROR', 'The parts of the upload are not gone yet.', { retryAfterSeconds: 5 })
    },

    async * listObjects (bucket, prefix) {
      let token: string | undefined
      do {
        const command = new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ...(token !== undefined && { ContinuationToken: token }) })
        const page: ListObjectsV2CommandOutput = found(await ask('ListObjectsV2', async abort => await client.send(command, abort)))
        for (const { Key = '', Size = 0, ETag = '', LastModified = new Date(0) } of page.Contents ?? []) {
          yield { key: Key, sizeBytes: Size, etag: ETag, modifiedAt: LastModified }
        }
        token = page.NextContinuationToken
      } while (token !== undefined)
    },

    async * listMultipartUploads (bucket, prefix) {
      let marker: { readonly KeyMarker: string, readonly UploadIdMarker: string } | undefined
      do {
        const command = new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix, ...marker })
        const page: ListMultipartUploadsCommandOutput = found(await ask('ListMultipartUploads', async abort => await client.send(command, abort)))
        for (const { Key = '', UploadId = '', Initiated = new Date(0) } of page.Uploads ?? []) {
          yield { key: Key, multipartUploadId: UploadId, initiatedAt: Initiated }
        }
        marker = page.IsTruncated ? { KeyMarker: page.NextKeyMarker ?? '', UploadIdMarker: page.NextUploadIdMarker ?? '' } : undefined
      } while (marker !== undefined)
    },

    async isReachable (bucket) {
      try {
        await client.send(new HeadBucketCommand({ Bucket: bucket }), { abortSignal: AbortSignal.timeout(REACH_TIMEOUT_MS) })
        return true
      } catch {
        return false
      }
    },

    close () {
      for (const used of [client, patient, signing]) used.destroy()
    }
  }
}

/** A listing has no 404 but that of the bucket. */
function found<T> (page: T | null): T {
  if (page) return page
  throw new ApiError('OBJECT_STORAGE_ERROR', 'The bucket was not found.', { retryAfterSeconds: 5 })
}
