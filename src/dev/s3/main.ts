import { join } from 'node:path'

import { credentialsFileName, loadOrCreateCredentials, type Credentials } from './credentials.js'
import { startDevS3 } from './server.js'

const { DEV_S3_PORT: portText = '9000', DATA_DIR: dataDir = '.data', DEV_S3_ACCESS_KEY_ID: accessKeyId, DEV_S3_SECRET_ACCESS_KEY: secretAccessKey } = process.env

function stop (message: string): never {
  console.error(message)
  process.exit(1)
}

async function chooseCredentials (): Promise<{ readonly credentials: Credentials, readonly source: string }> {
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    return { credentials: { accessKeyId, secretAccessKey }, source: 'DEV_S3_ACCESS_KEY_ID and DEV_S3_SECRET_ACCESS_KEY' }
  }
  if (accessKeyId !== undefined || secretAccessKey !== undefined) stop('Set both DEV_S3_ACCESS_KEY_ID and DEV_S3_SECRET_ACCESS_KEY, or neither.')
  return { credentials: await loadOrCreateCredentials(dataDir), source: join(dataDir, credentialsFileName) }
}

const port = Number(portText)
if (!Number.isInteger(port) || port < 0 || port > 65_535) stop(`DEV_S3_PORT must be a port number, not "${portText}".`)
const { credentials, source } = await chooseCredentials()
try {
  const store = await startDevS3({ dataDir, port, credentials })
  console.log(`S3-compatible store for development
  endpoint     ${store.url}
  region       us-east-1
  credentials  ${source}
  objects      ${join(dataDir, 's3')}`)
} catch (error) {
  if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') stop(`Port ${port} is taken. Choose another one: DEV_S3_PORT=${port + 1} npm run dev:s3`)
  stop(error instanceof Error ? error.message : String(error))
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  // Nothing needs to be finished: what was acknowledged is on the disk.
  process.on(signal, () => process.exit(0))
}
