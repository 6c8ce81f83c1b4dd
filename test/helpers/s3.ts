import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import type { Test } from 'tap'

import { startDevS3 } from '../../src/dev/s3/server.js'

/** A running S3 for one test file, with a client that is allowed everything. */
export interface TestS3 {
  readonly kind: 'embedded' | 'external'
  readonly endpoint: string
  readonly region: string
  readonly credentials: { readonly accessKeyId: string, readonly secretAccessKey: string, readonly sessionToken?: string }
  readonly client: S3Client
  /** Makes an empty bucket of a name not used before. */
  createBucket (): Promise<string>
  /** Sets the server's clock; only the embedded store has one to set. */
  readonly setNow?: (now: () => Date) => void
}

/** An empty folder of its own for each call, unlike `t.testdir`, which empties the folder of the call before; deleted with the test. */
export async function makeTemporaryFolder (t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'presignd-test-'))
  t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
  return folder
}

/** With a session token, its keys are those of a role. */
interface EmbeddedOptions { readonly sessionToken?: string }

type Started = Pick<TestS3, 'kind' | 'endpoint' | 'credentials' | 'setNow'>

async function startEmbedded (t: Test, session: EmbeddedOptions = {}): Promise<Started> {
  const credentials = { accessKeyId: 'TESTACCESSKEYID', secretAccessKey: 'test/secret+access=key', ...session }
  let clock = (): Date => new Date()
  const server = await startDevS3({ dataDir: await makeTemporaryFolder(t), port: 0, credentials, now: () => clock() })
  t.teardown(async () => { await server.close() })
  return { kind: 'embedded', endpoint: server.url, credentials, setNow: (now) => { clock = now } }
}

function readExternal (): Started | undefined {
  const { TEST_S3_ENDPOINT: endpoint, TEST_S3_ACCESS_KEY_ID: accessKeyId, TEST_S3_SECRET_ACCESS_KEY: secretAccessKey } = process.env
  if (endpoint === undefined || endpoint === '') return undefined
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    throw new Error('TEST_S3_ENDPOINT needs TEST_S3_ACCESS_KEY_ID and TEST_S3_SECRET_ACCESS_KEY')
  }
  return { kind: 'external', endpoint, credentials: { accessKeyId, secretAccessKey } }
}

function complete (t: Test, started: Started): TestS3 {
  const region = 'us-east-1'
  const { endpoint, credentials } = started
  const client = new S3Client({
    endpoint,
    region,
    credentials,
    forcePathStyle: true,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED'
  })
  t.teardown(() => { client.destroy() })
  return {
    ...started,
    region,
    client,
    async createBucket () {
      const bucket = `test-${randomUUID()}`
      await client.send(new CreateBucketCommand({ Bucket: bucket }))
      return bucket
    }
  }
}

/**
 * The S3 that the protocol tests run on: the server of TEST_S3_ENDPOINT if one is named (with TEST_S3_ACCESS_KEY_ID and
 * TEST_S3_SECRET_ACCESS_KEY), else the embedded store in a folder of this test. It stops with the test.
 */
export async function startTestS3 (t: Test): Promise<TestS3> {
  return complete(t, readExternal() ?? await startEmbedded(t))
}

/** The embedded store in any case, for tests of its clock, its disk and its strictness. */
export async function startEmbeddedTestS3 (t: Test, session: EmbeddedOptions = {}): Promise<TestS3 & Required<Pick<TestS3, 'setNow'>>> {
  const started = await startEmbedded(t, session)
  const { setNow } = started
  if (setNow === undefined) throw new Error('The embedded store has a clock')
  return { ...complete(t, started), setNow }
}
