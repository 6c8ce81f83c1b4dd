import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { loadOrCreateCredentials } from './s3/credentials.js'

export const DEV_BUCKET = 'presignd'
export const DEV_AUDIENCE = 'presignd-dev'

/** Where pages in development usually are: the examples with Next.js and with one HTML file, and whatever Vite serves. */
const EXAMPLE_PORTS = [3001, 5173]

export type Env = Readonly<Record<string, string | undefined>>

/**
 * The environment of development mode: secrets and data in one folder, everything on loopback. What is set in
 * `env` already stays.
 */
export async function devEnvironment (env: Env, { dataDir, port, s3Url }: { dataDir: string, port: number, s3Url: string }): Promise<Record<string, string | undefined>> {
  const credentials = await loadOrCreateCredentials(dataDir)
  return {
    HOST: '127.0.0.1',
    DATABASE_URL: `sqlite:${join(dataDir, 'presignd.db')}`,
    POLICIES_FILE: 'policies.example.yaml',
    S3_BUCKET: DEV_BUCKET,
    S3_ENDPOINT: s3Url,
    S3_FORCE_PATH_STYLE: 'true',
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    CORS_ORIGINS: [port, ...EXAMPLE_PORTS].flatMap(port => [`http://127.0.0.1:${port}`, `http://localhost:${port}`]).join(','),
    DOCS_UI: 'true',
    SHUTDOWN_DRAIN_SECONDS: '0',
    ...await tokenEnvironment(env, dataDir),
    ...definedOnly(env),
    PORT: String(port)
  }
}

/** How tokens are signed in development: by the configured secret, or by one that is kept in the data folder. */
export async function tokenEnvironment (env: Env, dataDir: string): Promise<Record<string, string | undefined>> {
  const isConfigured = ['JWT_SECRET', 'JWT_SECRET_FILE', 'JWT_JWKS_URL', 'JWT_ISSUER'].some(name => env[name])
  return {
    JWT_AUDIENCE: env['JWT_AUDIENCE'] || DEV_AUDIENCE,
    ...(!isConfigured && { JWT_SECRET: await loadOrCreateSecret(join(dataDir, 'jwt-secret')) })
  }
}

async function loadOrCreateSecret (path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    await mkdir(join(path, '..'), { recursive: true, mode: 0o700 })
    const secret = randomBytes(48).toString('base64')
    await writeFile(path, `${secret}\n`, { mode: 0o600, flag: 'wx' })
    return secret
  }
}

function definedOnly (env: Env): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => Boolean(entry[1])))
}
