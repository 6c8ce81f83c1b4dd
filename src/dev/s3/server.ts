import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'

import { answer, type Answering } from './answer.js'
import type { Credentials } from './credentials.js'
import { refuseIncompleteBody } from './incomplete-body.js'
import { Store } from './store.js'

export interface DevS3Options {
  /** Objects live in its folder `s3`. */
  readonly dataDir: string
  /** 0 takes any free port. */
  readonly port: number
  readonly credentials: Credentials
  /** us-east-1 unless given. */
  readonly region?: string
  /** The clock that signatures are checked by; the system's unless given. */
  readonly now?: () => Date
}

export interface DevS3 {
  /** http://127.0.0.1:PORT; `http://BUCKET.localhost:PORT` works as well. */
  readonly url: string
  readonly port: number
  /** Ends open connections at once; resolves when nothing writes to the folder any more. May be called again. */
  close (): Promise<void>
}

/**
 * Starts the S3-compatible store for development and tests, on the loopback interface only.
 * @throws in production, and with the EADDRINUSE error of a taken port for the caller to explain.
 */
export async function startDevS3 (options: DevS3Options): Promise<DevS3> {
  if (process.env['NODE_ENV'] === 'production') throw new Error('The development store does not start with NODE_ENV=production')
  const { credentials, region = 'us-east-1', now = () => new Date() } = options
  const answering: Answering = { store: await Store.open(join(options.dataDir, 's3')), verifier: { credentials, region, now } }

  const running = new Set<Promise<void>>()
  const handle = (sendContinue: (response: ServerResponse) => void) => (message: IncomingMessage, response: ServerResponse): void => {
    const run: Promise<void> = answer(answering, { message, response, sendContinue: () => { sendContinue(response) } })
      .finally(() => { running.delete(run) })
    running.add(run)
  }
  // Every status is S3's own: Node must not time a slow upload out with a 408 in its own shape.
  const server = createServer({ requestTimeout: 0, keepAliveTimeout: 60_000 }, handle(() => {}))
  // Answering this by hand lets a refusal go out before the body is sent.
  server.on('checkContinue', handle((response) => { response.writeContinue() }))
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => { refuseIncompleteBody(error, socket) })
  server.listen(options.port, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  return {
    url: `http://127.0.0.1:${port}`,
    port,
    async close () {
      const closed = server.listening ? once(server, 'close') : Promise.resolve()
      server.close()
      server.closeAllConnections()
      await closed
      await Promise.allSettled(running)
    }
  }
}
