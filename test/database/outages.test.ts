import t from 'tap'
import { query } from '../../src/database/database.js'

// As Node's sockets name them, which is what a client of PostgreSQL passes on.
const CODES = ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'EHOSTDOWN', 'ENETUNREACH', 'ENETDOWN', 'ENOTFOUND', 'EAI_AGAIN', 'ENOENT']

t.test('F26: a database whose host cannot be reached, in whichever way, is out and comes back', async t => {
  for (const code of CODES) {
    await t.rejects(query(async () => { throw Object.assign(new Error(`connect ${code}`), { code }) }), { code: 'NOT_READY', status: 503 }, code)
  }
  await t.rejects(query(async () => { throw Object.assign(new Error('a fault of ours'), { code: 'ERR_INVALID_ARG_TYPE' }) }), { code: 'ERR_INVALID_ARG_TYPE' })
})
