import type { AddressInfo } from 'node:net'
import jwt from '@fastify/jwt'
import fastify from 'fastify'

/** The least that a Fastify service with tokens can do: verify one, answer a constant. Without one, it is Fastify alone. */
const app = fastify()
await app.register(jwt, { secret: process.env['JWT_SECRET'] ?? '' })
app.get('/open', async () => ({ hello: 'world' }))
app.get('/hello', { onRequest: async request => { await request.jwtVerify() } }, async () => ({ hello: 'world' }))

await app.listen({ host: '127.0.0.1', port: 0 })
process.stdout.write(`{"listening":"http://127.0.0.1:${(app.server.address() as AddressInfo).port}"}\n`)
