import { createHash } from 'node:crypto'

import { startCrc32, startCrc32c, startCrc64Nvme, type RunningChecksum } from './crc.js'
import { S3Error } from './s3-error.js'

export type ChecksumAlgorithm = 'CRC32' | 'CRC32C' | 'CRC64NVME' | 'SHA1' | 'SHA256'
export type ChecksumType = 'FULL_OBJECT' | 'COMPOSITE'

/** A checksum as S3 writes it: base64, with `-N` behind a composite of N parts. */
export interface Checksum {
  readonly algorithm: ChecksumAlgorithm
  readonly value: string
  readonly type: ChecksumType
}

function startSha (name: 'sha1' | 'sha256'): RunningChecksum {
  const hash = createHash(name)
  return { update (data) { hash.update(data) }, digest: () => hash.digest() }
}

interface AlgorithmFacts {
  readonly sizeBytes: number
  readonly types: readonly ChecksumType[]
  start (): RunningChecksum
}

/** The first of `types` is the default of a multipart upload. @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html */
const algorithms = new Map<string, AlgorithmFacts & { readonly name: ChecksumAlgorithm }>([
  ['CRC32', { name: 'CRC32', sizeBytes: 4, types: ['COMPOSITE', 'FULL_OBJECT'], start: startCrc32 }],
  ['CRC32C', { name: 'CRC32C', sizeBytes: 4, types: ['COMPOSITE', 'FULL_OBJECT'], start: startCrc32c }],
  ['CRC64NVME', { name: 'CRC64NVME', sizeBytes: 8, types: ['FULL_OBJECT'], start: startCrc64Nvme }],
  ['SHA1', { name: 'SHA1', sizeBytes: 20, types: ['COMPOSITE'], start: () => startSha('sha1') }],
  ['SHA256', { name: 'SHA256', sizeBytes: 32, types: ['COMPOSITE'], start: () => startSha('sha256') }]
])

export const checksumAlgorithms: readonly ChecksumAlgorithm[] = [...algorithms.values()].map(({ name }) => name)

/** @throws {S3Error} InvalidRequest for an algorithm that S3 does not know. */
export function parseChecksumAlgorithm (name: string): ChecksumAlgorithm {
  return facts(name.toUpperCase()).name
}

function facts (name: string): AlgorithmFacts & { readonly name: ChecksumAlgorithm } {
  const found = algorithms.get(name)
  if (found === undefined) throw new S3Error('InvalidRequest', 'Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]')
  return found
}

/** @throws {S3Error} InvalidRequest for a type that the algorithm has not. */
export function parseChecksumType (algorithm: ChecksumAlgorithm, type: string | undefined): ChecksumType {
  const { types } = facts(algorithm)
  const found = type === undefined ? types[0] : types.find((candidate) => candidate === type)
  if (found === undefined) throw new S3Error('InvalidRequest', `The ${type ?? ''} checksum type cannot be used with the ${algorithm.toLowerCase()} checksum algorithm.`)
  return found
}

export function startChecksum (algorithm: ChecksumAlgorithm): RunningChecksum {
  return facts(algorithm).start()
}

export function checksumHeaderName (algorithm: ChecksumAlgorithm): string {
  return `x-amz-checksum-${algorithm.toLowerCase()}`
}

/** The element of S3's XML documents, for instance ChecksumSHA256. */
export function checksumElementName (algorithm: ChecksumAlgorithm): string {
  return `Checksum${algorithm}`
}

/** @throws {S3Error} InvalidRequest unless the value is base64 of the algorithm's length. */
export function checkChecksumValue (algorithm: ChecksumAlgorithm, value: string): void {
  const bytes = Buffer.from(value, 'base64')
  if (bytes.length !== facts(algorithm).sizeBytes || bytes.toString('base64') !== value) {
    throw new S3Error('InvalidRequest', `Value for ${checksumHeaderName(algorithm)} header is invalid.`)
  }
}

/** The checksum of the parts' checksums. */
export function combineChecksums (algorithm: ChecksumAlgorithm, partValues: readonly string[]): string {
  const checksum = startChecksum(algorithm)
  for (const value of partValues) checksum.update(Buffer.from(value, 'base64'))
  return `${checksum.digest().toString('base64')}-${partValues.length}`
}

/** The one `x-amz-checksum-*` of a request's headers or a form's fields. @throws {S3Error} InvalidRequest for several. */
export function findChecksum (value: (name: string) => string | undefined): { readonly algorithm: ChecksumAlgorithm, readonly value: string } | undefined {
  const found = checksumAlgorithms.flatMap((algorithm) => {
    const given = value(checksumHeaderName(algorithm))
    return given === undefined ? [] : [{ algorithm, value: given }]
  })
  if (found.length > 1) throw new S3Error('InvalidRequest', 'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.')
  return found[0]
}

export function checksumHeaders (checksum: Checksum | undefined): Record<string, string> {
  if (checksum === undefined) return {}
  return { [checksumHeaderName(checksum.algorithm)]: checksum.value, 'x-amz-checksum-type': checksum.type }
}
