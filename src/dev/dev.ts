import { CreateBucketCommand, PutBucketCorsCommand, S3Client, S3ServiceException } from '@aws-sdk/client-s3'
import { createToken } from '../cli/token.js'
import { loadConfig } from '../config.js'
import { createLog, type LogDestination } from '../logs.js'
import { startServer } from '../server.js'
import { DEV_BUCKET, devEnvironment, type Env } from './dev-environment.js'
import { pageRoutes } from './page-routes.js'
import { loadOrCreateCredentials } from './s3/credentials.js'
import { startDevS3 } from './s3/server.js'

export interface DevOptions {
  /** 0 takes any free port, here and below. */
  readonly port: number
  readonly s3Port: number
  readonly dataDir: string
  /** Variables that win over those of development mode. */
  readonly env?: Env
  /** Instead of the standard output. */
  readonly logTo?: LogDestination
}

export interface Dev {
  readonly url: string
  readonly s3Url: string
  issueToken (sub: string): Promise<string>
  close (): Promise<void>
}

export const DEMO_USERS = [{ sub: 'ada', name: 'Ada Lovelace' }, { sub: 'grace', name: 'Grace Hopper' }] as const
/** What the policies of the example file ask for. */
const DEMO_SCOPE = 'documents:write'
const DEMO_TOKEN_SECONDS = 12 * 3600

/** The whole service in one process: embedded store, SQLite, demo page. A second start finds the files again. */
export async function startDev ({ port, s3Port, dataDir, env = {}, logTo }: DevOptions): Promise<Dev> {
  const credentials = await loadOrCreateCredentials(dataDir)
  const store = await startDevS3({ dataDir, port: s3Port, credentials })
  try {
    const variables = await devEnvironment(env, { dataDir, port, s3Url: store.url })
    // The SDK reads its credentials from here.
    process.env['AWS_ACCESS_KEY_ID'] = variables['AWS_ACCESS_KEY_ID']
    process.env['AWS_SECRET_ACCESS_KEY'] = variables['AWS_SECRET_ACCESS_KEY']
    await prepareBucket(store.url, credentials)
    const issueToken = (sub: string) => createToken(variables, ['--sub', sub, '--scope', DEMO_SCOPE, '--expires-in', String(DEMO_TOKEN_SECONDS)])
    const config = loadConfig(variables)
    const server = await startServer(config, {
      log: createLog(config, logTo),
      development: async app => { await app.register(pageRoutes, { users: DEMO_USERS, issueToken, s3Origin: store.url }) }
    })
    return {
      url: server.url,
      s3Url: store.url,
      issueToken,
      async close () {
        await server.close()
        await store.close()
      }
    }
  } catch (error) {
    await store.close()
    throw error
  }
}

/** Creates the bucket and lets pages of this machine, on any port, send files to it. */
async function prepareBucket (endpoint: string, credentials: { accessKeyId: string, secretAccessKey: string }): Promise<void> {
  const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials, maxAttempts: 1 })
  try {
    await client.send(new CreateBucketCommand({ Bucket: DEV_BUCKET })).catch(error => {
      if (!(error instanceof S3ServiceException && error.name === 'BucketAlreadyOwnedByYou')) throw error
    })
    await client.send(new PutBucketCorsCommand({
      Bucket: DEV_BUCKET,
      CORSConfiguration: {
        CORSRules: [{
          AllowedOrigins: ['http://127.0.0.1:*', 'http://localhost:*'],
          AllowedMethods: ['PUT', 'POST', 'GET', 'HEAD', 'DELETE'],
          AllowedHeaders: ['*'],
          ExposeHeaders: ['ETag'],
          MaxAgeSeconds: 600
        }]
      }
    }))
  } finally {
    client.destroy()
  }
}
