import { createHash } from 'node:crypto'

import { hmacHex, renderScope, sha256Hex } from './canonical-request.js'
import { S3Error } from './s3-error.js'
import { equalsInConstantTime, type Verified } from './verify-signature.js'

/** What the value of x-amz-content-sha256 says about the chunks. */
export interface ChunkedEncoding {
  readonly isSigned: boolean
  readonly hasTrailer: boolean
}

const encodings = new Map<string, ChunkedEncoding>([
  ['STREAMING-AWS4-HMAC-SHA256-PAYLOAD', { isSigned: true, hasTrailer: false }],
  ['STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER', { isSigned: true, hasTrailer: true }],
  ['STREAMING-UNSIGNED-PAYLOAD-TRAILER', { isSigned: false, hasTrailer: true }]
])

/** @throws {S3Error} NotImplemented for a streaming encoding other than SigV4's. */
export function parseChunkedEncoding (payloadHash: string): ChunkedEncoding | undefined {
  const encoding = encodings.get(payloadHash)
  if (encoding === undefined && payloadHash.startsWith('STREAMING-')) throw new S3Error('NotImplemented', `x-amz-content-sha256: ${payloadHash}`)
  return encoding
}

/** A chunk's size line and a trailer's lines are short; a client that sends more is not speaking aws-chunked. */
const maxLineBytes = 4096

/** Reads lines and counted runs of bytes from chunks of any size, holding no more than one chunk and one line. */
class ByteReader {
  #rest: Buffer = Buffer.alloc(0)
  readonly #source: AsyncIterator<Buffer>

  constructor (source: AsyncIterator<Buffer>) {
    this.#source = source
  }

  async #pull (): Promise<void> {
    const next = await this.#source.next()
    if (next.done === true) throw new S3Error('IncompleteBody')
    this.#rest = this.#rest.length === 0 ? next.value : Buffer.concat([this.#rest, next.value])
  }

  async line (): Promise<string> {
    for (;;) {
      const end = this.#rest.indexOf('\r\n')
      if (end >= 0) {
        const line = this.#rest.toString('utf8', 0, end)
        this.#rest = this.#rest.subarray(end + 2)
        return line
      }
      if (this.#rest.length > maxLineBytes) throw new S3Error('InvalidRequest', 'The aws-chunked body is malformed.')
      await this.#pull()
    }
  }

  async * bytes (count: number): AsyncGenerator<Buffer> {
    let left = count
    while (left > 0) {
      if (this.#rest.length === 0) await this.#pull()
      const piece = this.#rest.subarray(0, left)
      this.#rest = this.#rest.subarray(piece.length)
      left -= piece.length
      yield piece
    }
  }

  async isAtEnd (): Promise<boolean> {
    return this.#rest.length === 0 && (await this.#source.next()).done === true
  }
}

const emptyHash = sha256Hex('')

function signChunk (verified: Verified, previous: string, hash: string): string {
  return hmacHex(verified.signingKey, ['AWS4-HMAC-SHA256-PAYLOAD', verified.timestamp, renderScope(verified.scope), previous, emptyHash, hash].join('\n'))
}

function checkSignature (expected: string, given: string | undefined): void {
  if (given === undefined || !equalsInConstantTime(expected, given)) throw new S3Error('SignatureDoesNotMatch')
}

async function readTrailer (reader: ByteReader, verified: Verified, signature: string | undefined): Promise<Map<string, string>> {
  const trailer = new Map<string, string>()
  for (let line = await reader.line(); line !== ''; line = await reader.line()) {
    const colon = line.indexOf(':')
    if (colon <= 0) throw new S3Error('MalformedTrailerError')
    trailer.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim())
  }
  if (signature !== undefined) {
    const signed = [...trailer].filter(([name]) => name !== 'x-amz-trailer-signature').map(([name, value]) => `${name}:${value}\n`).join('')
    const expected = hmacHex(verified.signingKey, ['AWS4-HMAC-SHA256-TRAILER', verified.timestamp, renderScope(verified.scope), signature, sha256Hex(signed)].join('\n'))
    checkSignature(expected, trailer.get('x-amz-trailer-signature'))
  }
  trailer.delete('x-amz-trailer-signature')
  return trailer
}

/**
 * The bytes inside an aws-chunked body; the generator's result is its trailer. Bytes are handed on before their chunk's signature is
 * known, so nothing may be kept until the generator has ended.
 * @throws {S3Error} SignatureDoesNotMatch for a chunk or trailer that was changed.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and sigv4-streaming-trailers.html
 */
export async function * decodeChunks (source: AsyncIterator<Buffer>, encoding: ChunkedEncoding, verified: Verified): AsyncGenerator<Buffer, Map<string, string>> {
  const reader = new ByteReader(source)
  let signature = verified.signature
  for (;;) {
    const match = /^([0-9a-f]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?$/i.exec(await reader.line())
    if (match?.[1] === undefined) throw new S3Error('InvalidRequest', 'The aws-chunked body is malformed.')
    const sizeBytes = parseInt(match[1], 16)
    const hash = createHash('sha256')
    for await (const piece of reader.bytes(sizeBytes)) {
      if (encoding.isSigned) hash.update(piece)
      yield piece
    }
    if (encoding.isSigned) {
      signature = signChunk(verified, signature, hash.digest('hex'))
      checkSignature(signature, match[2])
    }
    if (sizeBytes === 0) break
    if (await reader.line() !== '') throw new S3Error('InvalidRequest', 'The aws-chunked body is malformed.')
  }
  // Without a trailer the last chunk ends with an empty line, which reads as a trailer of no lines.
  const trailer = await readTrailer(reader, verified, encoding.isSigned && encoding.hasTrailer ? signature : undefined)
  if (!await reader.isAtEnd()) throw new S3Error('InvalidRequest', 'There are bytes behind the aws-chunked body.')
  return trailer
}
