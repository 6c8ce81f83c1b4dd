import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import { SignJWT } from 'jose'
import type { Test } from 'tap'
import { buildApp } from '../../src/app.js'
import { loadConfig, type Config } from '../../src/config.js'
import { createLog } from '../../src/logs.js'
import { closeServices, createServices, type Services } from '../../src/services.js'
import { testDatabaseUrl } from './postgres.js'
import type { TestS3 } from './s3.js'

export type Engine = 'sqlite' | 'postgres'
/** Both, unless the tests are about something else, as a store or a version of Node. */
export const ENGINES = (process.env['TEST_ENGINE'] ? [process.env['TEST_ENGINE']] : ['sqlite', 'postgres']) as readonly Engine[]

export const SECRET = 'a secret for tests that is longer than thirty-two bytes'
export const AUDIENCE = 'presignd-test'

export const POLICIES = `
policies:
  pictures:
    contentTypes: [image/png, image/jpeg, image/svg+xml]
    maxSize: 1MiB
    key: "pictures/{owner}/{fileId}{ext}"
    disposition: inline
  notes:
    contentTypes: [text/*, application/pdf, application/octet-stream, application/json]
    maxSize: 100kB
    key: "notes/{yyyy}/{fileId}-{slug}{ext}"
    visibility: authenticated
  posters:
    contentTypes: [image/*]
    maxSize: 1MiB
    minSize: 1
    key: "posters/{fileId}"
    visibility: public
    downloadUrlTtlSeconds: 60
  reports:
    contentTypes: [application/pdf]
    maxSize: 1MiB
    key: "reports/{tenant}/{fileId}"
    methods: [PUT]
    require: { scopes: [reports:write], claims: { department: finance } }
    verify: { checksum: required }
  forms:
    contentTypes: [image/png, text/plain]
    minSize: 1
    maxSize: 100kB
    key: "forms/{fileId}{ext}"
    methods: [POST]
  parts:
    contentTypes: [image/png, application/octet-stream]
    maxSize: 5TiB
    key: "parts/{fileId}"
    methods: [PUT, multipart]
    multipart: { threshold: 5MiB, partSize: 5MiB }
    verify: { contentType: false }
  few:
    contentTypes: [image/png]
    maxSize: 1000
    key: "few/{fileId}"
    methods: [PUT, POST]
    quota: { files: 10, bytes: 5000, pending: 5 }
    presignedDelete: true
`

export interface ServiceOptions {
  readonly engine?: Engine
  readonly policies?: string
  /** Variables that win over those of the test. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Changes the services before the app is built: another clock, another store. */
  readonly adapt?: (services: Services) => Services
  /** Where the log goes; nowhere when left out. */
  readonly logTo?: NodeJS.WritableStream
}

export interface Call {
  readonly token?: string | undefined
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export interface TestService {
  readonly app: FastifyInstance
  readonly services: Services
  readonly config: Config
  readonly bucket: string
  token (sub: string, claims?: Readonly<Record<string, unknown>>): Promise<string>
  call (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', url: string, call?: Call): Promise<LightMyRequestResponse>
}

/** The whole service on a fresh database and a fresh bucket of this store. */
export async function startService (t: Test, s3: TestS3, options: ServiceOptions = {}): Promise<TestService> {
  const bucket = await s3.createBucket()
  process.env['AWS_ACCESS_KEY_ID'] = s3.credentials.accessKeyId
  process.env['AWS_SECRET_ACCESS_KEY'] = s3.credentials.secretAccessKey
  const config = loadConfig({ ...await testEnvironment(t, { ...options, mayBeMigrated: true }), S3_BUCKET: bucket, S3_ENDPOINT: s3.endpoint, S3_REGION: s3.region, ...options.env })
  const created = await createServices(config, createLog({ ...config, logLevel: options.logTo ? config.logLevel : 'silent' }, options.logTo))
  const services = options.adapt ? options.adapt(created) : created
  const app = await buildApp(services)
  t.teardown(async () => {
    await app.close()
    await closeServices(created)
  })
  return {
    app,
    services,
    config,
    bucket,
    token: createTestToken,
    async call (method, url, { token, body, headers } = {}) {
      return await app.inject({
        method,
        url,
        headers: {
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...headers
        },
        ...(body !== undefined && { payload: JSON.stringify(body) })
      })
    }
  }
}

/** All that the service needs but the store. */
export async function testEnvironment (t: Test, { engine = 'sqlite', policies = POLICIES, mayBeMigrated = false }: ServiceOptions & { readonly mayBeMigrated?: boolean } = {}): Promise<Record<string, string>> {
  // Not t.testdir(), which empties the folder when another helper asks for it too.
  const folder = mkdtempSync(join(tmpdir(), 'presignd-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const policiesFile = join(folder, `policies-${randomUUID()}.yaml`)
  writeFileSync(policiesFile, policies)
  return {
    DATABASE_URL: engine === 'postgres' ? await testDatabaseUrl(t, { mayBeMigrated }) : `sqlite:${join(folder, `${randomUUID()}.db`)}`,
    POLICIES_FILE: policiesFile,
    S3_FORCE_PATH_STYLE: 'true',
    JWT_SECRET: SECRET,
    JWT_AUDIENCE: AUDIENCE,
    RATE_LIMIT_ADDRESS_PER_MINUTE: '0',
    RATE_LIMIT_USER_PER_MINUTE: '0',
    SHUTDOWN_DRAIN_SECONDS: '0'
  }
}

/** A good token; claims given here win, and `undefined` takes one out. */
export async function createTestToken (sub: string, claims: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000)
  return await new SignJWT({ sub, aud: AUDIENCE, iat: now, exp: now + 600, ...claims })
    .setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(SECRET))
}
