import t from 'tap'
import { runCli } from '../helpers/process.js'
import { startTestS3 } from '../helpers/s3.js'
import { createTestToken, testEnvironment } from '../helpers/service.js'
import { testLife, type RunningService } from './fixtures/life.js'

testLife(t, readRunning() ?? await startService())

/** One that somebody else has started: in a container, in a cluster. */
function readRunning (): RunningService | undefined {
  const { TEST_SERVICE_URL: url, TEST_SERVICE_TOKEN: token } = process.env
  if (!url) return undefined
  if (!token) throw new Error('TEST_SERVICE_URL needs TEST_SERVICE_TOKEN')
  return { url, token }
}

/** `presignd serve` in a process of its own, on PostgreSQL. */
async function startService (): Promise<RunningService> {
  const s3 = await startTestS3(t)
  const running = runCli(t, ['serve'], {
    ...await testEnvironment(t, { engine: 'postgres' }),
    PORT: '0',
    POLICIES_FILE: 'policies.example.yaml',
    S3_BUCKET: await s3.createBucket(),
    S3_ENDPOINT: s3.endpoint,
    AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey
  })
  const [, url = ''] = await running.output(/"listening":"([^"]+)","msg":"presignd is ready"/)
  return { url, token: await createTestToken('ada') }
}
