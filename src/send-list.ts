import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { takeTurns } from './take-turns.js'

/** Large enough for few writes, small enough that making and sending one takes no time. */
const PIECE_LENGTH = 64 * 1024

/** What stands for the items in the text of a list without any; in JSON it can be nowhere else. */
const NO_ITEMS = '"data":[]'

/**
 * Sends a list, written by the schema of the route like every reply, but one item after the other and not faster than
 * the client takes it: a hundred of them can be several megabytes. What fails within the first piece is answered like
 * any error; later, the connection ends.
 */
export async function sendList (reply: FastifyReply, { data, ...rest }: { readonly data: Iterable<unknown> | AsyncIterable<unknown> }): Promise<FastifyReply> {
  const write = reply.getSerializationFunction(String(reply.statusCode)) as (list: { readonly data: readonly unknown[] }) => string
  const pieces = writePieces(write, data, write({ ...rest, data: [] }))
  const { value: first, done: isAll = false } = await pieces.next()
  reply.type('application/json; charset=utf-8')
  if (isAll) return reply.header('content-length', first.length).send(first)
  return reply.send(Readable.from(join(first, pieces)))
}

/** Yields all pieces but the last one, and returns that. */
async function * writePieces (write: (list: { readonly data: readonly unknown[] }) => string, data: Iterable<unknown> | AsyncIterable<unknown>, empty: string): AsyncGenerator<Buffer, Buffer> {
  const [head = '', tail = ''] = empty.split(NO_ITEMS)
  const wait = takeTurns()
  let text = `${head}"data":[`
  let separator = ''
  for await (const item of data) {
    await wait()
    if (text.length > PIECE_LENGTH) {
      yield Buffer.from(text)
      text = ''
    }
    text += separator + write({ data: [item] }).slice('{"data":['.length, -']}'.length)
    separator = ','
  }
  return Buffer.from(`${text}]${tail}`)
}

async function * join (first: Buffer, rest: AsyncGenerator<Buffer, Buffer>): AsyncGenerator<Buffer> {
  yield first
  yield yield * rest
}
