import { setImmediate as nextTurn } from 'node:timers/promises'
import { GetObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { ApiError } from '../errors.js'
import type { Checksum, ObjectLocation, ObjectStorage, PresignedRequest, PresignGet } from './object-storage.js'
import { CONTENT_SHA256, UNSIGNED_PAYLOAD, type RequestToSign, type SigningKey } from './sigv4.js'
import { createSigner, toSigningError, type SignerName } from './signer.js'

export interface PresignOptions {
  /** Says where buckets are, for clients, and with which credentials to sign. */
  readonly client: S3Client
  /** Bind a SHA-256 by the hash of the payload, for stores that do not keep the checksums of AWS. */
  readonly bindsPayload: boolean
  /** `built-in` when left out. The one of the SDK cannot bind payloads. */
  readonly signer?: SignerName | undefined
  /** Hears of every URL that ends early, with its credentials. */
  readonly onClamp?: () => void
  /** Signs GETs that may go through a CDN. */
  readonly cdn?: ((get: PresignGet) => PresignedRequest<'GET'>) | undefined
  /** @throws {ApiError} CLOCK_SKEW */
  readonly checkClock?: (bucket: string) => void
}

/** Where a bucket is, for clients: its URL ends with a slash. */
interface Place { readonly region: string, readonly bucketUrl: URL }
interface Signing { readonly signedAt: Date, readonly expiresInSeconds: number, readonly windowSeconds?: number }
type Presign = Pick<ObjectStorage, 'presignPut' | 'presignPost' | 'presignParts' | 'presignGet' | 'presignDelete'>

/** A browser sets these two by itself and forbids a page to. */
const SET_BY_CLIENTS = new Set(['content-length', 'host'])
/** How many parts are signed in one turn of the event loop: well under a millisecond. */
const PARTS_PER_TURN = 50
/** A URL that lives shorter than this is of no use to a client. */
const MIN_LIFE_SECONDS = 60

/** The half of the port that signs. Only reading the credentials may take time. */
export function createPresign ({ client, bindsPayload, signer: signerName = 'built-in', onClamp = () => {}, cdn, checkClock = () => {} }: PresignOptions): Presign {
  const signer = createSigner(signerName, client)
  const places = new Map<string, Place>()
  // The SDK gives the same object until it has renewed the credentials.
  const keys = new WeakMap<object, SigningKey>()

  /** The SDK's rules for endpoints, asked once per bucket, which those at the beginning may each do. */
  async function findPlace (bucket: string): Promise<Place> {
    const [region, text] = await Promise.all([client.config.region(), getSignedUrl(client, new GetObjectCommand({ Bucket: bucket, Key: 'k' }))])
    const url = new URL(text)
    const place = { region, bucketUrl: new URL(url.pathname.slice(0, -1), url.origin) }
    places.set(bucket, place)
    return place
  }

  /** Whose signature it is, and until when: never longer than the credentials live. */
  async function prepare ({ bucket, signedAt, expiresInSeconds, windowSeconds = 1 }: ObjectLocation & Signing) {
    checkClock(bucket)
    try {
      const { region, bucketUrl } = places.get(bucket) ?? await findPlace(bucket)
      const credentials = await client.config.credentials()
      const begin = beginOfLife(signedAt, windowSeconds)
      const secondsAfter = (time: Date): number => credentials.expiration ? Math.floor((credentials.expiration.getTime() - time.getTime()) / 1000) : Infinity
      // The provider has renewed them by now if it can: it does so minutes before their end.
      if (secondsAfter(beginOfLife(signedAt)) < MIN_LIFE_SECONDS) throw new ApiError('NOT_READY', 'The credentials of this service are about to expire. Try again in a moment.', { retryAfterSeconds: 5 })
      const seconds = Math.min(expiresInSeconds, secondsAfter(begin))
      if (seconds < expiresInSeconds) onClamp()
      let key = keys.get(credentials)
      if (!key) keys.set(credentials, key = { ...credentials, region })
      return { key, bucketUrl, signedAt: begin, expiresInSeconds: seconds, expiresAt: new Date(begin.getTime() + seconds * 1000) }
    } catch (cause) {
      throw toSigningError(cause)
    }
  }

  async function presign <Method extends RequestToSign['method']> (object: ObjectLocation & Signing, method: Method, query: RequestToSign['query'], headers: Readonly<Record<string, string>> = {}) {
    const { key, bucketUrl, signedAt, expiresInSeconds, expiresAt } = await prepare(object)
    const url = await signer.presignUrl(key, { method, bucketUrl, key: object.key, query: withPayload(query, headers), headers, signedAt, expiresInSeconds }, object.bucket)
    return { method, url, headers: headersToSend(headers), expiresAt }
  }

  return {
    async presignPut (put) {
      return await presign(put, 'PUT', [['x-id', 'PutObject']], {
        'content-length': String(put.sizeBytes),
        'content-type': put.contentType,
        'if-none-match': '*',
        ...checksumHeaders(put.checksum, bindsPayload)
      })
    },

    async presignPost (post) {
      const { contentType, minSizeBytes, maxSizeBytes, checksum } = post
      const { key, bucketUrl, signedAt, expiresAt } = await prepare(post)
      const fields = await signer.signPostPolicy(key, {
        bucket: post.bucket,
        objectKey: post.key,
        fields: {
          'content-type': contentType,
          success_action_status: '201',
          ...(checksum && { 'x-amz-checksum-algorithm': checksum.algorithm, [checksumHeader(checksum)]: checksum.value })
        },
        lengthRange: [minSizeBytes, maxSizeBytes],
        signedAt,
        expiresAt
      })
      return { method: 'POST', url: bucketUrl.href, fields, expiresAt }
    },

    async presignParts (upload) {
      const { multipartUploadId, parts } = upload
      const { key, bucketUrl, signedAt, expiresInSeconds, expiresAt } = await prepare(upload)
      const requestFor = (partNumber: string, headers: RequestToSign['headers']): RequestToSign => {
        const query = withPayload([['partNumber', partNumber], ['uploadId', multipartUploadId], ['x-id', 'UploadPart']], headers)
        return { method: 'PUT', bucketUrl, key: upload.key, query, headers, signedAt, expiresInSeconds }
      }
      const presigned = []
      for (const [index, { partNumber, sizeBytes, sha256 }] of parts.entries()) {
        if (index > 0 && index % PARTS_PER_TURN === 0) await nextTurn()
        // A checksum of AWS would have to be that of the whole upload, of each of its parts and named when it begins.
        const headers: Record<string, string> = sha256 === null ? {} : payloadHeader(sha256)
        if (sizeBytes !== null) headers['content-length'] = String(sizeBytes)
        presigned.push({ partNumber, url: await signer.presignUrl(key, requestFor(String(partNumber), headers), upload.bucket), headers: headersToSend(headers) })
      }
      return { parts: presigned, expiresAt }
    },

    async presignGet (get) {
      // A URL of a CDN binds no method: one for HEAD would do for GET.
      if (cdn && get.viaCdn && get.method === 'GET') {
        checkClock(get.bucket)
        return cdn(get)
      }
      return await presign(get, get.method, [...responseOverrides(get), ...(get.method === 'GET' ? [['x-id', 'GetObject']] as const : [])])
    },

    async presignDelete (location) {
      return await presign(location, 'DELETE', [['x-id', 'DeleteObject']])
    }
  }
}

/** What the reply says of the object, whatever it was stored with. */
export function responseOverrides ({ contentType, contentDisposition, expiresInSeconds }: PresignGet): RequestToSign['query'] {
  return [
    ['response-content-type', contentType],
    ['response-content-disposition', contentDisposition],
    ['response-cache-control', `private, max-age=${expiresInSeconds}`]
  ]
}

/** Whole seconds, as signatures have them, and a multiple of the window: never later than `signedAt`, so that no store finds it in the future for that. */
export function beginOfLife (signedAt: Date, windowSeconds = 1): Date {
  const window = windowSeconds * 1000
  return new Date(Math.floor(signedAt.getTime() / window) * window)
}

/** The SDK's URLs say it when the body is not bound, and so do these. */
function withPayload (query: RequestToSign['query'], headers: RequestToSign['headers']): RequestToSign['query'] {
  return headers[CONTENT_SHA256] === undefined ? [...query, ['X-Amz-Content-Sha256', UNSIGNED_PAYLOAD]] : query
}

/** What the signature names is what the client must send, except for what every client sends by itself. */
function headersToSend (signed: Readonly<Record<string, string>>): Record<string, string> {
  const sent: Record<string, string> = {}
  for (const name in signed) if (!SET_BY_CLIENTS.has(name)) sent[name] = signed[name] as string
  return sent
}

function checksumHeader ({ algorithm }: Checksum): string {
  return `x-amz-checksum-${algorithm.toLowerCase()}`
}

function checksumHeaders (checksum: Checksum | null, bindsPayload: boolean): Record<string, string> {
  if (checksum === null) return {}
  return {
    [checksumHeader(checksum)]: checksum.value,
    ...(bindsPayload && checksum.algorithm === 'SHA256' && payloadHeader(checksum.value))
  }
}

function payloadHeader (sha256: string): Record<string, string> {
  return { [CONTENT_SHA256]: Buffer.from(sha256, 'base64').toString('hex') }
}
