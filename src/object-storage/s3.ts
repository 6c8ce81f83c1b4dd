import {
  DeleteObjectCommand, GetObjectCommand, HeadBucketCommand, HeadObjectCommand, PutObjectCommand, S3Client, S3ServiceException,
  type HeadObjectCommandOutput, type S3ClientConfig
} from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { ApiError } from '../errors.js'
import type { ObjectStorage, PresignedRequest, StoredObject } from './object-storage.js'

export interface S3Options {
  readonly region: string
  /** Undefined is AWS. */
  readonly endpoint?: string | undefined
  readonly forcePathStyle: boolean
  /** The SDK's own provider chain when left out. */
  readonly credentials?: NonNullable<S3ClientConfig['credentials']>
}

/** The whole of one call, retries included. */
const CALL_TIMEOUT_MS = 9_000
const CONNECT_TIMEOUT_MS = 2_000
const REQUEST_TIMEOUT_MS = 5_000

/** Headers that only the signature of a PUT can keep honest; the SDK would leave out or hoist some of them. */
const SIGNED_PUT_HEADERS = new Set(['content-length', 'content-type', 'host', 'if-none-match', 'x-amz-checksum-sha256'])
/** A browser sets these two by itself and forbids a page to. */
const SET_BY_CLIENTS = new Set(['content-length', 'host'])

/**
 * A request with `If-None-Match` makes `fetch` add one of these by itself, and S3 keeps it with the object. It
 * changes nothing: downloads sign their own cache rule.
 * @see https://fetch.spec.whatwg.org/#http-network-or-cache-fetch steps on the cache mode
 */
const SET_BY_FETCH = new Set(['no-cache', 'max-age=0'])

/**
 * An S3 store through the AWS SDK: one client for the life of the process, credentials from the SDK's own
 * provider chain.
 */
export function createS3ObjectStorage ({ region, endpoint, forcePathStyle, credentials }: S3Options): ObjectStorage {
  const client = new S3Client({
    region,
    ...(endpoint !== undefined && { endpoint }),
    ...(credentials && { credentials }),
    forcePathStyle,
    // The default adds the checksum of an empty body to presigned URLs: no real upload would match it.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: 3,
    requestHandler: { connectionTimeout: CONNECT_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS, throwOnRequestTimeout: true }
  })

  /** The SDK does not clamp the life of a URL to the life of its credentials. */
  async function signingTime (signedAt: Date, expiresInSeconds: number): Promise<{ signingDate: Date, expiresIn: number, expiresAt: Date }> {
    const signingDate = new Date(Math.floor(signedAt.getTime() / 1000) * 1000)
    const { expiration } = await client.config.credentials()
    const left = expiration ? Math.floor((expiration.getTime() - signingDate.getTime()) / 1000) : Infinity
    if (left < 1) throw new ApiError('OBJECT_STORAGE_ERROR', 'The credentials of this service have expired.', { retryAfterSeconds: 5 })
    const expiresIn = Math.min(expiresInSeconds, left)
    return { signingDate, expiresIn, expiresAt: new Date(signingDate.getTime() + expiresIn * 1000) }
  }

  /** Runs one call to the store; null is a 404 or a failed condition, anything else that fails is our 502. */
  async function ask<T> (what: string, call: (signal: AbortSignal) => Promise<T>): Promise<T | null> {
    try {
      return await call(AbortSignal.timeout(CALL_TIMEOUT_MS))
    } catch (error) {
      if (error instanceof S3ServiceException && [404, 412].includes(error.$metadata.httpStatusCode ?? 0)) return null
      throw new ApiError('OBJECT_STORAGE_ERROR', 'The object storage did not answer as expected. Nothing is lost: try again in a moment.', {
        cause: new Error(`${what} failed`, { cause: error }),
        retryAfterSeconds: 5
      })
    }
  }

  return {
    async presignPut ({ bucket, key, contentType, sizeBytes, checksumSha256, signedAt, expiresInSeconds }) {
      const { expiresAt, ...options } = await signingTime(signedAt, expiresInSeconds)
      const command = new PutObjectCommand({
        Bucket: bucket,
        Key: key,
        ContentType: contentType,
        ContentLength: sizeBytes,
        IfNoneMatch: '*',
        ...(checksumSha256 !== null && { ChecksumSHA256: checksumSha256 })
      })
      const url = await wrapSigning(() => getSignedUrl(client, command, { ...options, signableHeaders: SIGNED_PUT_HEADERS, unhoistableHeaders: SIGNED_PUT_HEADERS }))
      const values = new Map([['content-type', contentType], ['if-none-match', '*'], ['x-amz-checksum-sha256', checksumSha256 ?? '']])
      return { method: 'PUT', url, headers: headersToSend(url, values), expiresAt }
    },

    async presignGet ({ bucket, key, method, contentType, contentDisposition, signedAt, expiresInSeconds }) {
      const { expiresAt, ...options } = await signingTime(signedAt, expiresInSeconds)
      const input = {
        Bucket: bucket,
        Key: key,
        ResponseContentType: contentType,
        ResponseContentDisposition: contentDisposition,
        ResponseCacheControl: `private, max-age=${options.expiresIn}`
      }
      const command = method === 'GET' ? new GetObjectCommand(input) : new HeadObjectCommand(input)
      const url = await wrapSigning(() => getSignedUrl(client, command as GetObjectCommand, options))
      return { method, url, headers: {}, expiresAt } satisfies PresignedRequest<'GET' | 'HEAD'>
    },

    async headObject ({ bucket, key }) {
      const command = new HeadObjectCommand({ Bucket: bucket, Key: key, ChecksumMode: 'ENABLED' })
      const head = await ask('HeadObject', async abortSignal => await client.send(command, { abortSignal }))
      return head && toStoredObject(head)
    },

    async readFirstBytes ({ bucket, key }, etag, count) {
      const command = new GetObjectCommand({ Bucket: bucket, Key: key, IfMatch: etag, Range: `bytes=0-${count - 1}` })
      return await ask('GetObject', async abortSignal => {
        const { Body } = await client.send(command, { abortSignal })
        if (!Body) throw new Error('The reply has no body')
        return await Body.transformToByteArray()
      })
    },

    async deleteObject ({ bucket, key }) {
      await ask('DeleteObject', async abortSignal => await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }), { abortSignal }))
    },

    async isReachable (bucket) {
      try {
        await client.send(new HeadBucketCommand({ Bucket: bucket }), { abortSignal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) })
        return true
      } catch {
        return false
      }
    },

    close: () => client.destroy()
  }
}

async function wrapSigning<T> (sign: () => Promise<T>): Promise<T> {
  try {
    return await sign()
  } catch (cause) {
    throw new ApiError('OBJECT_STORAGE_ERROR', 'No URL could be signed. Try again in a moment.', { cause, retryAfterSeconds: 5 })
  }
}

/** What the signature names is what the client must send, except for what every client sends by itself. */
function headersToSend (url: string, values: ReadonlyMap<string, string>): Record<string, string> {
  const signed = new URL(url).searchParams.get('X-Amz-SignedHeaders')?.split(';') ?? []
  return Object.fromEntries(signed.filter(name => !SET_BY_CLIENTS.has(name)).map(name => {
    const value = values.get(name)
    if (value === undefined) throw new Error(`The signature binds a header that nobody knows: ${name}`)
    return [name, value]
  }))
}

function toStoredObject (head: HeadObjectCommandOutput): StoredObject {
  const unsigned = {
    'content-encoding': head.ContentEncoding,
    'content-language': head.ContentLanguage,
    'content-disposition': head.ContentDisposition,
    'cache-control': SET_BY_FETCH.has(head.CacheControl ?? '') ? undefined : head.CacheControl,
    expires: head.ExpiresString,
    'x-amz-website-redirect-location': head.WebsiteRedirectLocation
  }
  return {
    sizeBytes: head.ContentLength ?? 0,
    etag: head.ETag ?? '',
    contentType: head.ContentType ?? '',
    checksumSha256: head.ChecksumSHA256 ?? null,
    unsignedHeaders: [
      ...Object.entries(unsigned).filter(([, value]) => value !== undefined && value !== '').map(([name]) => name),
      ...Object.keys(head.Metadata ?? {}).map(name => `x-amz-meta-${name}`)
    ]
  }
}
