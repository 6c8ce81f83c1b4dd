import { randomBytes, randomUUID } from 'node:crypto'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** What every request has to carry besides, as with keys of a role. */
  readonly sessionToken?: string
}

export const credentialsFileName = 's3-credentials.json'

function parse (text: string, path: string): Credentials {
  const value: unknown = JSON.parse(text)
  if (typeof value === 'object' && value !== null && 'accessKeyId' in value && 'secretAccessKey' in value &&
    typeof value.accessKeyId === 'string' && typeof value.secretAccessKey === 'string') {
    return { accessKeyId: value.accessKeyId, secretAccessKey: value.secretAccessKey }
  }
  throw new Error(`${path} holds no accessKeyId and secretAccessKey; delete it to get new ones`)
}

/**
 * The store's one key pair, random, made at the first call; the file can be read by its owner only.
 * Two processes that call it at once get the same pair.
 */
export async function loadOrCreateCredentials (dataDir: string): Promise<Credentials> {
  await mkdir(dataDir, { recursive: true })
  const path = join(dataDir, credentialsFileName)
  const created = { accessKeyId: `DEV${randomBytes(9).toString('hex').toUpperCase()}`, secretAccessKey: randomBytes(30).toString('base64url') }
  const temporary = join(dataDir, `${randomUUID()}.tmp`)
  await writeFile(temporary, `${JSON.stringify(created, null, 2)}\n`, { mode: 0o600, flag: 'wx', flush: true })
  try {
    // A link appears with its whole content and never replaces another process's file.
    await link(temporary, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(temporary)
  }
  return parse(await readFile(path, 'utf8'), path)
}
