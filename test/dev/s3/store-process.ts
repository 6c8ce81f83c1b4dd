// A process with nothing but the store, to be killed by a test. argv: data folder, access key, secret key.
import { startDevS3 } from '../../../src/dev/s3/server.js'

const [, , dataDir = '', accessKeyId = '', secretAccessKey = ''] = process.argv
const store = await startDevS3({ dataDir, port: 0, credentials: { accessKeyId, secretAccessKey } })
process.stdout.write(`${store.url}\n`)
