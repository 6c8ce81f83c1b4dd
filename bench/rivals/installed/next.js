// `next start`, told a port that is free; `next build` has to come before.
import { createServer } from 'node:http'
import next from 'next'

const app = next({ dev: false, dir: import.meta.dirname })
await app.prepare()
const handle = app.getRequestHandler()
const server = createServer((request, response) => handle(request, response)).listen(0, '127.0.0.1', () => {
  process.stdout.write(`{"listening":"http://127.0.0.1:${server.address().port}"}\n`)
})
