// Serves index.html on http://localhost:5173, or on the port that is named in PORT.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'

const server = createServer((request, response) => {
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(readFileSync(new URL('index.html', import.meta.url)))
})
server.listen(process.env.PORT ?? 5173, 'localhost', () => console.log(`http://localhost:${server.address().port}`))
