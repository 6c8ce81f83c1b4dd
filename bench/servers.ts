import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { setTimeout as delay } from 'node:timers/promises'
import { createToken } from '../src/cli/token.js'
import { startPostgres } from '../test/helpers/postgres.js'
import type { compile } from './compile.js'
import { ACCESS_KEY_ID, SECRET_ACCESS_KEY } from './credentials.js'
import { NEEDS_PROBE } from './cpu-time.js'
import type { Load } from './load.js'
import { startNode } from './processes.js'

export const SERVERS = ['presignd', 'jwt', 'tutorial'] as const
export type ServerName = typeof SERVERS[number]

export interface Server extends Program {
  readonly name: ServerName
  /** The request that is repeated. */
  readonly request: Omit<Load, 'connections' | 'amount'>
}

export const OWNER = 'ada'
export const BUCKET = 'bench-uploads'
export const UPLOAD = { filename: 'holiday in 2026.png', contentType: 'image/png', sizeBytes: 482_133 }

const POLICIES = `policies:
  pictures:
    contentTypes: [image/png, image/jpeg]
    maxSize: 5GiB
    key: "pictures/{owner}/{fileId}{ext}"
  forms:
    contentTypes: [image/png, image/jpeg]
    maxSize: 5GiB
    key: "forms/{owner}/{fileId}{ext}"
    methods: [POST]
`

/** What an operator would set, but for the limits: one address and one user ask for everything here. */
export function benchEnvironment (folder: string): Record<string, string> {
  writeFileSync(join(folder, 'policies.yaml'), POLICIES)
  return {
    PORT: '0',
    METRICS_PORT: '0',
    DATABASE_URL: `sqlite:${join(folder, 'bench.db')}`,
    POLICIES_FILE: join(folder, 'policies.yaml'),
    S3_BUCKET: BUCKET,
    S3_REGION: 'eu-central-1',
    AWS_ACCESS_KEY_ID: ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY: SECRET_ACCESS_KEY,
    JWT_SECRET: 'the secret of a bench, which protects nothing',
    JWT_AUDIENCE: 'bench',
    RATE_LIMIT_ADDRESS_PER_MINUTE: '0',
    RATE_LIMIT_USER_PER_MINUTE: '0',
    RATE_LIMIT_PARTS_PER_MINUTE: '0',
    SHUTDOWN_DRAIN_SECONDS: '0'
  }
}

const READY_TIMEOUT_MS = 30_000

/** Some process under load, and where it listens. */
export interface Program {
  readonly url: string
  readonly child: ChildProcess
  stop (): Promise<void>
}

export interface ProgramOptions {
  readonly fileOf: Awaited<ReturnType<typeof compile>>
  /** Its output, presignd's request log above all, goes to a file in here. */
  readonly folder: string
  readonly env: Readonly<Record<string, string>>
  /** The second one when left out; null lets the system choose. */
  readonly core?: number | null | undefined
}

/** Starts a Node program, and waits until it says where it listens. */
export async function startProgram (name: string, args: readonly string[], { fileOf, folder, env, core = 1 }: ProgramOptions): Promise<Program> {
  const logFile = join(folder, `${name}.log`)
  const log = openSync(logFile, 'w')
  const probe = NEEDS_PROBE ? ['--import', pathToFileURL(fileOf('cpu-probe')).href] : []
  const child = startNode([...probe, ...args], { core, env, stdio: ['ignore', log, log, ...(NEEDS_PROBE ? ['ipc' as const] : [])] })
  closeSync(log)
  const ended = once(child, 'exit')
  let url: string | undefined
  const deadline = Date.now() + READY_TIMEOUT_MS
  while (url === undefined) {
    const text = readFileSync(logFile, 'utf8')
    url = /"listening":"([^"]+)"/.exec(text)?.[1]
    if (url === undefined && (child.exitCode !== null || Date.now() > deadline)) {
      child.kill()
      throw new Error(`${name} did not start: ${text}`)
    }
    await delay(10)
  }
  return {
    url,
    child,
    async stop () {
      child.kill()
      await ended
    }
  }
}

export async function userHeaders (env: Readonly<Record<string, string>>): Promise<Record<string, string>> {
  return { authorization: `Bearer ${await createToken(env, ['--sub', OWNER])}` }
}

/** Starts one of the servers that every run compares. */
export async function startServer (name: ServerName, fileOf: Awaited<ReturnType<typeof compile>>, folder: string, env: Readonly<Record<string, string>>, { flags = [], core }: { readonly flags?: readonly string[], readonly core?: ProgramOptions['core'] } = {}): Promise<Server> {
  const program = await startProgram(name, [...flags, fileOf(name), ...(name === 'presignd' ? ['serve'] : [])], { fileOf, folder, env, core })
  const { url } = program
  const headers = await userHeaders(env)
  const post = { url, method: 'POST', path: '/uploads', headers: { ...headers, 'content-type': 'application/json' } }
  const requests: Record<ServerName, Server['request']> = {
    presignd: { ...post, body: JSON.stringify({ policy: 'pictures', ...UPLOAD }) },
    tutorial: { ...post, body: JSON.stringify(UPLOAD) },
    jwt: { url, method: 'GET', path: '/hello', headers }
  }
  return { ...program, name, request: requests[name] }
}

/** Starts presignd on a PostgreSQL of its own, which ends with it. */
export async function startOnPostgres (fileOf: Awaited<ReturnType<typeof compile>>, parent: string): Promise<Server & { readonly databaseUrl: string }> {
  const folder = join(parent, 'postgres')
  mkdirSync(folder)
  const postgres = await startPostgres({ isDurable: true })
  try {
    const server = await startServer('presignd', fileOf, folder, { ...benchEnvironment(folder), DATABASE_URL: postgres.url })
    return {
      ...server,
      databaseUrl: postgres.url,
      async stop () {
        await server.stop()
        await postgres.stop()
      }
    }
  } catch (error) {
    await postgres.stop()
    throw error
  }
}
