import { ApiError } from '../errors.js'
import type { File } from '../files/file.js'
import type { Checksum, StoredObject } from '../object-storage/object-storage.js'
import type { Services } from '../services.js'
import { findContentMismatch, SIGNATURE_BYTES } from './content-signature.js'

export type Verdict =
  | { readonly outcome: 'match', readonly etag: string, readonly sizeBytes: number }
  /** `detail` says what is awaited, when it is more than the whole. */
  | { readonly outcome: 'missing', readonly detail?: string }
  /** `reason` is for the person who uploaded. */
  | { readonly outcome: 'mismatch', readonly reason: string }

/** An object that is swapped while we look is looked at again, this often. */
const MAX_LOOKS = 3

/**
 * Compares what is at the final key with what was promised: size, content type, checksum where the store keeps
 * one, no header that nobody signed, and the first bytes. The verdict is about one ETag: bytes that were not
 * looked at never match.
 * @throws {ApiError} OBJECT_STORAGE_ERROR: the store could not be asked, and nothing is known
 */
export async function verifyObject ({ objectStorage, policies }: Services, file: File): Promise<Verdict> {
  for (let look = 0; look < MAX_LOOKS; look++) {
    const object = await objectStorage.headObject(file)
    if (!object) return { outcome: 'missing' }
    const reason = findMismatch(file, object)
    if (reason !== null) return { outcome: 'mismatch', reason }
    const match = { outcome: 'match', etag: object.etag, sizeBytes: object.sizeBytes } as const
    const isChecked = policies.get(file.policy)?.verifyContentType ?? true
    if (!isChecked || object.sizeBytes === 0) return match
    const bytes = await objectStorage.readFirstBytes(file, object.etag, SIGNATURE_BYTES)
    if (!bytes) continue
    const contentReason = await findContentMismatch(file.contentType, bytes)
    return contentReason === null ? match : { outcome: 'mismatch', reason: contentReason }
  }
  throw new ApiError('OBJECT_STORAGE_ERROR', 'The object keeps changing. Try again in a moment.', { retryAfterSeconds: 5 })
}

function findMismatch (file: File, object: StoredObject): string | null {
  if (file.sizeBytes !== null && object.sizeBytes !== file.sizeBytes) return `The file has ${object.sizeBytes} bytes; ${file.sizeBytes} were declared.`
  if (object.sizeBytes > file.reservedBytes) return `The file has ${object.sizeBytes} bytes; at most ${file.reservedBytes} are allowed.`
  if (object.contentType !== file.contentType) return `The file was sent as ${object.contentType || 'nothing'}; ${file.contentType} was declared.`
  if (object.unsignedHeaders.length > 0) return `The file was sent with headers that were not asked for: ${object.unsignedHeaders.join(', ')}.`
  const kept = object.checksums.find(({ algorithm }) => algorithm === file.checksum?.algorithm)
  if (kept && kept.value !== file.checksum?.value) return otherChecksum(kept)
  return null
}

export function otherChecksum ({ algorithm }: Pick<Checksum, 'algorithm'>): string {
  return `The ${algorithm} of the file is not the declared one.`
}
