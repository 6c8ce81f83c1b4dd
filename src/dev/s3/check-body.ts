import { createHash, type Hash } from 'node:crypto'

import { checkChecksumValue, checksumHeaderName, startChecksum, type ChecksumAlgorithm } from './checksums.js'
import type { RunningChecksum } from './crc.js'
import { S3Error } from './s3-error.js'

/** What the client promised about a body. */
export interface Integrity {
  /** Lower-case hex. */
  readonly sha256?: string | undefined
  /** Base64. */
  readonly contentMd5?: string | undefined
  readonly algorithm?: ChecksumAlgorithm | undefined
  /** Base64; undefined when it comes in the trailer or was only asked to be computed. */
  readonly checksum?: string | undefined
}

/** What was found once the whole body was read. */
export interface Digests {
  readonly sizeBytes: number
  readonly md5: string
  readonly checksum: { readonly algorithm: ChecksumAlgorithm, readonly value: string } | undefined
}

/** A body that is checked while it is read: the generator throws at its end unless every promise held. */
export type CheckedBody = AsyncGenerator<Buffer, Digests>

/** @throws {S3Error} InvalidDigest unless it is base64 of 16 bytes. */
function checkMd5Format (contentMd5: string): void {
  const bytes = Buffer.from(contentMd5, 'base64')
  if (bytes.length !== 16 || bytes.toString('base64') !== contentMd5) throw new S3Error('InvalidDigest')
}

interface Running {
  readonly md5: Hash
  readonly sha256: Hash | undefined
  readonly checksum: RunningChecksum | undefined
}

/** Hashes `source` as it passes and compares at its end; the source's own result may bring a checksum late. */
export async function * checkBody (source: AsyncGenerator<Buffer, Map<string, string> | undefined>, integrity: Integrity): CheckedBody {
  const { algorithm } = integrity
  if (integrity.contentMd5 !== undefined) checkMd5Format(integrity.contentMd5)
  if (algorithm !== undefined && integrity.checksum !== undefined) checkChecksumValue(algorithm, integrity.checksum)
  const running: Running = {
    md5: createHash('md5'),
    sha256: integrity.sha256 === undefined ? undefined : createHash('sha256'),
    checksum: algorithm === undefined ? undefined : startChecksum(algorithm)
  }
  let sizeBytes = 0
  let next = await source.next()
  for (; next.done !== true; next = await source.next()) {
    sizeBytes += next.value.length
    running.md5.update(next.value)
    running.sha256?.update(next.value)
    running.checksum?.update(next.value)
    yield next.value
  }
  const md5 = running.md5.digest()
  if (integrity.contentMd5 !== undefined && md5.toString('base64') !== integrity.contentMd5) {
    throw new S3Error('BadDigest', 'The Content-MD5 you specified did not match what we received.')
  }
  if (running.sha256 !== undefined && running.sha256.digest('hex') !== integrity.sha256) throw new S3Error('XAmzContentSHA256Mismatch')
  if (algorithm === undefined || running.checksum === undefined) return { sizeBytes, md5: md5.toString('hex'), checksum: undefined }

  const value = running.checksum.digest().toString('base64')
  const trailing = next.value?.get(checksumHeaderName(algorithm))
  if (trailing !== undefined) checkChecksumValue(algorithm, trailing)
  const promised = integrity.checksum ?? trailing
  if (promised !== undefined && promised !== value) throw new S3Error('BadDigest', `The ${algorithm} you specified did not match the calculated checksum.`)
  return { sizeBytes, md5: md5.toString('hex'), checksum: { algorithm, value } }
}
