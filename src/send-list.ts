import type { FastifyReply } from 'fastify'
import { takeTurns } from './take-turns.js'

/**
 * Sends a list, written by the schema of the route as any other reply, but one item after the other: a hundred of
 * them can be several megabytes.
 */
export async function sendList (reply: FastifyReply, list: { readonly data: readonly unknown[] }): Promise<FastifyReply> {
  const write = reply.getSerializationFunction(String(reply.statusCode)) as (reply: { readonly data: readonly unknown[] }) => string
  // In a text of JSON this is nowhere but there.
  const [head = '', tail = ''] = write({ ...list, data: [] }).split(EMPTY)
  const pieces = [Buffer.from(`${head}"data":[`)]
  const wait = takeTurns()
  for (const [index, item] of list.data.entries()) {
    await wait()
    pieces.push(Buffer.from((index > 0 ? ',' : '') + write({ data: [item] }).slice('{"data":['.length, -']}'.length)))
  }
  pieces.push(Buffer.from(`]${tail}`))
  return reply.type('application/json; charset=utf-8').send(Buffer.concat(pieces))
}

const EMPTY = '"data":[]'
