import { decodeChunks, parseChunkedEncoding } from './aws-chunked.js'
import { checkBody, type CheckedBody, type Digests, type Integrity } from './check-body.js'
import { findChecksum, parseChecksumAlgorithm, type ChecksumAlgorithm } from './checksums.js'
import { header, queryValue, type S3Request } from './request.js'
import { S3Error } from './s3-error.js'
import type { Verified } from './verify-signature.js'

/** The request's bytes as they arrive; leaves the socket open when the reader stops early, so that a refusal can be answered. */
async function * receive (request: S3Request, expectedBytes: number): AsyncGenerator<Buffer, undefined> {
  request.sendContinue()
  let received = 0
  try {
    for await (const chunk of request.message.iterator({ destroyOnReturn: false })) {
      received += (chunk as Buffer).length
      yield chunk as Buffer
    }
  } catch (error) {
    throw new S3Error('IncompleteBody', undefined, { Cause: error instanceof Error ? error.message : 'aborted' })
  }
  if (received !== expectedBytes) throw new S3Error('IncompleteBody')
}

function contentLength (request: S3Request): number | undefined {
  const value = header(request, 'content-length')
  return value === undefined ? undefined : Number(value)
}

/** The promises of a body that is not aws-chunked or only in its trailer. */
function readIntegrity (request: S3Request): Integrity {
  // CompleteMultipartUpload's checksum headers speak of the object, not of the document that is its body.
  const isCompletion = request.method === 'POST' && queryValue(request, 'uploadId') !== undefined
  const given = isCompletion ? undefined : findChecksum((name) => header(request, name))
  const trailer = header(request, 'x-amz-trailer')?.trim().toLowerCase()
  const named = header(request, 'x-amz-sdk-checksum-algorithm')
  if (given !== undefined && trailer !== undefined) throw new S3Error('InvalidRequest', 'Expecting a single x-amz-checksum- header')
  if (named !== undefined && given === undefined && trailer === undefined) {
    throw new S3Error('InvalidRequest', 'x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.')
  }
  if (trailer !== undefined && !trailer.startsWith('x-amz-checksum-')) throw new S3Error('InvalidRequest', 'The value specified in the x-amz-trailer header is not supported')
  const algorithm = trailer === undefined ? given?.algorithm : parseChecksumAlgorithm(trailer.slice('x-amz-checksum-'.length))
  if (named !== undefined && algorithm !== undefined && parseChecksumAlgorithm(named) !== algorithm) {
    throw new S3Error('InvalidRequest', 'Value for x-amz-sdk-checksum-algorithm header is invalid.')
  }
  return { contentMd5: header(request, 'content-md5'), algorithm, checksum: given?.value }
}

async function * checkTrailer (source: AsyncGenerator<Buffer, Map<string, string>>, expected: string | undefined, decodedBytes: number): AsyncGenerator<Buffer, Map<string, string>> {
  let received = 0
  let next = await source.next()
  for (; next.done !== true; next = await source.next()) {
    received += next.value.length
    if (received > decodedBytes) break
    yield next.value
  }
  if (next.done !== true || received !== decodedBytes) throw new S3Error('IncompleteBody')
  const names = [...next.value.keys()]
  if (names.length !== (expected === undefined ? 0 : 1) || (expected !== undefined && names[0] !== expected)) throw new S3Error('MalformedTrailerError')
  return next.value
}

/** A body opened for reading, with the size it will have. */
export interface Payload {
  readonly sizeBytes: number
  /** Whether the client gave anything to check the bytes by besides the signature. */
  readonly integrity: Integrity
  /** May be called once. `algorithm` is computed even if the client promised none. */
  read (algorithm?: ChecksumAlgorithm): CheckedBody
}

/**
 * @throws {S3Error} MissingContentLength when the size is not known before the body, InvalidRequest for promises that contradict each other.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html (x-amz-content-sha256)
 */
export function openPayload (request: S3Request, verified: Verified): Payload {
  const { payloadHash } = verified
  const encoding = parseChunkedEncoding(payloadHash)
  const integrity = readIntegrity(request)
  const wireBytes = contentLength(request)
  if (encoding === undefined) {
    const sha256 = payloadHash === 'UNSIGNED-PAYLOAD' ? undefined : payloadHash
    if (sha256 !== undefined && !/^[0-9a-f]{64}$/.test(sha256)) {
      throw new S3Error('InvalidArgument', 'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.')
    }
    if (header(request, 'x-amz-trailer') !== undefined) throw new S3Error('InvalidRequest', 'x-amz-trailer needs an aws-chunked body with a trailer.')
    if (wireBytes === undefined && header(request, 'transfer-encoding') !== undefined) throw new S3Error('MissingContentLength')
    const sizeBytes = wireBytes ?? 0
    return { sizeBytes, integrity, read: (algorithm) => checkBody(receive(request, sizeBytes), { algorithm, ...withoutUndefined(integrity), sha256 }) }
  }
  const decoded = header(request, 'x-amz-decoded-content-length')
  if (decoded === undefined || !/^\d+$/.test(decoded)) throw new S3Error('MissingContentLength')
  const trailer = header(request, 'x-amz-trailer')?.trim().toLowerCase()
  if (trailer !== undefined && !encoding.hasTrailer) throw new S3Error('InvalidRequest', 'x-amz-trailer needs an aws-chunked body with a trailer.')
  return {
    sizeBytes: Number(decoded),
    integrity,
    read: (algorithm) => checkBody(
      checkTrailer(decodeChunks(receiveAny(request, wireBytes), encoding, verified), trailer, Number(decoded)),
      { algorithm, ...withoutUndefined(integrity) })
  }
}

/** An aws-chunked body may also be sent without Content-Length: its own framing says where it ends. */
function receiveAny (request: S3Request, wireBytes: number | undefined): AsyncGenerator<Buffer> {
  return wireBytes === undefined ? receiveUncounted(request) : receive(request, wireBytes)
}

async function * receiveUncounted (request: S3Request): AsyncGenerator<Buffer> {
  request.sendContinue()
  for await (const chunk of request.message.iterator({ destroyOnReturn: false })) yield chunk as Buffer
}

function withoutUndefined (integrity: Integrity): Integrity {
  return integrity.algorithm === undefined ? { contentMd5: integrity.contentMd5 } : integrity
}

/** Reads a small document whole. @throws {S3Error} MaxMessageLengthExceeded above the limit. */
export async function readDocument (body: AsyncGenerator<Buffer, Digests>, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of body) {
    sizeBytes += chunk.length
    if (sizeBytes > maxBytes) throw new S3Error('MaxMessageLengthExceeded')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
