import { setImmediate as nextTurn } from 'node:timers/promises'
import type { CompleteMultipartUploadCommand } from '@aws-sdk/client-s3'
import type { StoredPart } from './object-storage.js'

/** About a millisecond. */
const PARTS_PER_TURN = 1000

/**
 * Has the command send these parts. The SDK takes a tenth of a second to write the XML of ten thousand of them, in one turn
 * of the event loop.
 */
export async function withParts (command: CompleteMultipartUploadCommand, parts: readonly StoredPart[]): Promise<CompleteMultipartUploadCommand> {
  const body = await renderParts(parts)
  command.middlewareStack.add(next => async args => {
    Object.assign(args.request as { body?: Uint8Array }, { body })
    return await next(args)
  }, { step: 'build', priority: 'high', name: 'withParts' })
  return command
}

const BEGIN = '<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
const END = '</CompleteMultipartUpload>'

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html#API_CompleteMultipartUpload_RequestSyntax */
async function renderParts (parts: readonly StoredPart[]): Promise<Buffer> {
  const pieces: Buffer[] = []
  for (let first = 0; first < parts.length; first += PARTS_PER_TURN) {
    const items = parts.slice(first, first + PARTS_PER_TURN).map(({ partNumber, etag, checksums }) => {
      const sums = checksums.map(({ algorithm, value }) => `<Checksum${algorithm}>${escapeText(value)}</Checksum${algorithm}>`)
      return `<Part><ETag>${escapeText(etag)}</ETag>${sums.join('')}<PartNumber>${partNumber}</PartNumber></Part>`
    })
    pieces.push(Buffer.from(items.join('')))
    await nextTurn()
  }
  return Buffer.concat([Buffer.from(BEGIN), ...pieces, Buffer.from(END)])
}

/** These are the store's own texts, which come from outside as well: https://www.w3.org/TR/xml/#syntax */
function escapeText (text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
