import { once } from 'node:events'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { setImmediate as nextTurn } from 'node:timers/promises'
import fastify from 'fastify'
import t, { type Test } from 'tap'
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

/** Items of 10 kB, made as they are asked for; `state` tells how many were, and whether whoever asked has ended it. */
function lazily (count: number, failAt = Infinity) {
  const state = { made: 0, isEnded: false }
  async function * make () {
    try {
      for (; state.made < count; state.made++) {
        if (state.made === failAt) throw new Error('an item that cannot be made')
        yield { name: 'x'.repeat(10_000), size: state.made }
      }
    } finally {
      state.isEnded = true
    }
  }
  return { state, data: make() }
}

async function start (t: Test, data: AsyncIterable<unknown>): Promise<Socket> {
  const app = fastify()
  app.get('/list', { schema }, async (_request, reply) => await sendList(reply, { data }))
  await app.listen({ port: 0, host: '127.0.0.1' })
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(async () => {
    socket.destroy()
    await app.close()
  })
  socket.write('GET /list HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n')
  return socket
}

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
    t.equal(sent?.headers['content-type'], plain?.headers['content-type'])
    const { 'content-length': length } = sent?.headers ?? {}
    if (Buffer.byteLength(plain?.body ?? '') < 64 * 1024) t.equal(length?.toString(), plain?.headers['content-length']?.toString())
    else t.equal(length, undefined, 'which is known at the end alone')
  })
}

t.test('a client that does not read has no more made for it than what is on its way, and gets the rest once it does', async t => {
  const { state, data } = lazily(10_000)
  const socket = await start(t, data)
  socket.pause()
  let made
  do {
    made = state.made
    for (let turn = 0; turn < 1000; turn++) await nextTurn()
  } while (state.made > made)
  t.ok(made > 0)
  t.ok(made < 5000, `${made} of 10,000 items`)
  t.equal(state.isEnded, false)
  t.equal((await text(socket)).match(/"size":/g)?.length, 10_000)
  t.equal(state.isEnded, true)
})

t.test('a client that is gone has no more made for it', async t => {
  const { state, data } = lazily(100_000)
  const socket = await start(t, data)
  await once(socket, 'data')
  socket.destroy()
  while (!state.isEnded) await nextTurn()
  t.ok(state.made < 100_000)
})

t.test('an item that cannot be made is an error like any other as long as nothing was sent, and then the end of the connection', async t => {
  const app = fastify()
  t.teardown(async () => await app.close())
  const { data } = lazily(20, 3)
  app.get('/list', { schema }, async (_request, reply) => await sendList(reply, { data }))
  t.match(await app.inject('/list'), { statusCode: 500, headers: { 'content-type': /json/, 'content-length': /\d/ } })

  const socket = await start(t, lazily(20, 15).data)
  socket.on('error', () => {})
  let sent = ''
  socket.setEncoding('latin1').on('data', chunk => { sent += String(chunk) })
  await once(socket, 'close')
  t.match(sent, /^HTTP\/1\.1 200 /)
  t.notMatch(sent, /\r\n0\r\n\r\n$/, 'so that nobody takes it for all')
})
