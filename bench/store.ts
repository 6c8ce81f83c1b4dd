import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { startDevS3 } from '../src/dev/s3/server.js'

/** The embedded S3 store with one bucket. */
const { DATA_DIR: dataDir = '', S3_BUCKET: bucket = '', AWS_ACCESS_KEY_ID: accessKeyId = '', AWS_SECRET_ACCESS_KEY: secretAccessKey = '' } = process.env
const credentials = { accessKeyId, secretAccessKey }
const { url } = await startDevS3({ dataDir, port: 0, credentials })
const client = new S3Client({ endpoint: url, region: 'us-east-1', forcePathStyle: true, credentials })
await client.send(new CreateBucketCommand({ Bucket: bucket }))
client.destroy()
process.stdout.write(`{"listening":"${url}"}\n`)
