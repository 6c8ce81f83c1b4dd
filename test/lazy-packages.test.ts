import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startDistribution } from './helpers/cloudfront.js'
import { runNode } from './helpers/process.js'
import { startEmbeddedTestS3 } from './helpers/s3.js'
import { testEnvironment } from './helpers/service.js'

const s3 = await startEmbeddedTestS3(t)

/** Writes the name of every package that is asked for to a file: a pipe that nobody reads in time would refuse some. */
const namePackages = (path: string) => `data:text/javascript,${encodeURIComponent(`
import { register } from 'node:module'
register('data:text/javascript,' + encodeURIComponent(\`
import { appendFileSync } from 'node:fs'
export async function resolve (name, context, next) {
  appendFileSync(${JSON.stringify(path)}, 'package ' + name + String.fromCharCode(10))
  return await next(name, context)
}\`))
`)}`

/** The packages that the service has asked for once it answers. */
async function packagesOf (t: Test, env: Readonly<Record<string, string>> = {}): Promise<string> {
  const path = join(t.testdir(), 'packages')
  const running = runNode(t, ['--import', namePackages(path), 'src/cli.ts', 'serve'], {
    ...await testEnvironment(t), PORT: '0', S3_BUCKET: await s3.createBucket(), S3_ENDPOINT: s3.endpoint, AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey, ...env
  })
  await running.output(/presignd is ready/)
  return readFileSync(path, 'utf8')
}

t.test('nothing is loaded for what is switched off', async t => {
  const packages = await packagesOf(t)
  t.match(packages, /^package fastify$/m, 'names are told at all')
  for (const name of ['@aws-sdk/cloudfront-signer', '@aws-sdk/s3-presigned-post', 'prom-client', 'ioredis', '@opentelemetry/']) t.notMatch(packages, `package ${name}`)
})

t.test('what is switched on is loaded', async t => {
  const { env } = await startDistribution(t, s3, () => '')
  const packages = await packagesOf(t, { ...env, METRICS_PORT: '0', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' })
  for (const name of ['@aws-sdk/cloudfront-signer', 'prom-client', '@opentelemetry/api']) t.match(packages, `package ${name}`)
})
