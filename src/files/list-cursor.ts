import { createHmac, timingSafeEqual } from 'node:crypto'
import { ApiError } from '../errors.js'
import type { FilePosition } from './file-queries.js'

/**
 * The place where a page ended, for the client to bring back. It is authenticated together with the listing
 * that it came from, so it fits no other owner and no other filter.
 */
export function renderCursor (secret: Buffer, listing: string, { createdAt, id }: FilePosition): string {
  const position = `${createdAt.getTime()}.${id}`
  return Buffer.concat([sign(secret, listing, position), Buffer.from(position)]).toString('base64url')
}

/** @throws {ApiError} INVALID_REQUEST when it was changed, or came from another listing */
export function parseCursor (secret: Buffer, listing: string, cursor: string): FilePosition {
  const bytes = Buffer.from(cursor, 'base64url')
  const signature = bytes.subarray(0, SIGNATURE_BYTES)
  const position = bytes.subarray(SIGNATURE_BYTES).toString()
  if (signature.length !== SIGNATURE_BYTES || !timingSafeEqual(signature, sign(secret, listing, position))) {
    const message = 'The cursor does not belong to this listing. Begin again without it.'
    throw new ApiError('INVALID_REQUEST', message, { errors: [{ path: '/cursor', message }] })
  }
  const dot = position.indexOf('.')
  return { createdAt: new Date(Number(position.slice(0, dot))), id: position.slice(dot + 1) }
}

const SIGNATURE_BYTES = 16

function sign (secret: Buffer, listing: string, position: string): Buffer {
  return createHmac('sha256', secret).update(JSON.stringify([listing, position])).digest().subarray(0, SIGNATURE_BYTES)
}
