import fastify from 'fastify'
import t from 'tap'
import { sendList } from '../src/send-list.js'

const schema = {
  response: {
    200: {
      type: 'object',
      properties: {
        data: { type: 'array', items: { type: 'object', properties: { name: { type: 'string' }, size: { type: 'integer' } } } },
        nextCursor: { type: 'string' }
      }
    }
  }
}

const named = (count: number, name: string) => Array.from({ length: count }, (_, size) => ({ name: `${name} ${size}`, size, secret: 'not in the schema' }))

const lists: ReadonlyArray<[name: string, list: { readonly data: readonly unknown[], readonly nextCursor?: string }]> = [
  ['is empty', { data: [] }],
  ['has one item', { data: named(1, 'a') }],
  ['has a next page', { data: named(3, 'a'), nextCursor: 'next' }],
  ['has what stands for no items in it', { data: named(2, '"data":[]'), nextCursor: '"data":[]' }],
  ['is not written in ASCII', { data: named(2, 'Ωmega 🎈 \ud800') }],
  ['is longer than a piece', { data: named(100, 'ä'.repeat(3000)), nextCursor: 'next' }],
  ['has an item that is longer than a piece', { data: named(3, 'x'.repeat(200_000)) }]
]

for (const [name, list] of lists) {
  t.test(`a list that ${name} is sent as any other reply`, async t => {
    const app = fastify()
    t.teardown(async () => await app.close())
    app.get('/plain', { schema }, async () => list)
    app.get('/list', { schema }, async (_request, reply) => await sendList(reply, list))
    const [plain, sent] = await Promise.all(['/plain', '/list'].map(async url => await app.inject(url)))
    t.equal(sent?.body, plain?.body)
    t.equal(sent?.statusCode, 200)
    for (const header of ['content-type', 'content-length']) t.equal(sent?.headers[header]?.toString(), plain?.headers[header]?.toString(), header)
  })
}
