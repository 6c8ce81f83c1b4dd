import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { takeTurns } from './take-turns.js'

/** Large enough for few writes, small enough that making and sending one takes no time. */
const PIECE_LENGTH = 64 * 1024

/** What stands for the items in the text of a list without any; in JSON it can be nowhere else. */
const NO_ITEMS = '"data":[]'

/**
 * Sends a list, written by the schema of the route like every reply, but one item after the other: a hundred of
 * them can be several megabytes.
 */
export async function sendList (reply: FastifyReply, list: { readonly data: readonly unknown[] }): Promise<FastifyReply> {
  const write = reply.getSerializationFunction(String(reply.statusCode)) as (list: { readonly data: readonly unknown[] }) => string
  const [head = '', tail = ''] = write({ ...list, data: [] }).split(NO_ITEMS)
  const pieces: Buffer[] = []
  let text = `${head}"data":[`
  const wait = takeTurns()
  for (const [index, item] of list.data.entries()) {
    await wait()
    text += (index > 0 ? ',' : '') + write({ data: [item] }).slice('{"data":['.length, -']}'.length)
    if (text.length > PIECE_LENGTH) {
      pieces.push(Buffer.from(text))
      text = ''
    }
  }
  pieces.push(Buffer.from(`${text}]${tail}`))
  reply.type('application/json; charset=utf-8').header('content-length', pieces.reduce((sum, { length }) => sum + length, 0))
  return reply.send(pieces.length > 1 ? Readable.from(pieces) : pieces[0])
}
