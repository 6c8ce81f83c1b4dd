import { ApiError } from '../errors.js'
import type { StoredPart } from '../object-storage/object-storage.js'

/** What the client says S3 answered for its parts: only compared with what S3 says itself. */
export interface ClaimedPart { readonly partNumber: number, readonly etag: string }

/** @throws {ApiError} INVALID_REQUEST when the client speaks of a part that S3 has with another ETag, or not at all */
export function checkClaims (stored: readonly StoredPart[], claimed: readonly ClaimedPart[] = []): void {
  const etags = new Map(stored.map(part => [part.partNumber, unquote(part.etag)]))
  const wrong = claimed.find(({ partNumber, etag }) => etags.get(partNumber) !== unquote(etag))
  if (!wrong) return
  const message = `Part ${wrong.partNumber} is not what the store has: send it again, or leave the list of parts out.`
  throw new ApiError('INVALID_REQUEST', message, { errors: [{ path: '/parts', message }] })
}

/** Some clients keep the quotes that belong to an ETag, some do not. */
function unquote (etag: string): string {
  return etag.replace(/^"|"$/g, '')
}
