import 'server-only'
import { readFile } from 'node:fs/promises'

const MIN_SECRET_BYTES = 32

/** A variable of the environment, read when it is needed: the same build runs anywhere. */
export function getSetting (name: string): string {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set: see .env.production.`)
  return value
}

/** A secret out of a variable, or out of the file that the variable with `_FILE` behind its name points to. */
export async function getSecret (name: string): Promise<Uint8Array> {
  const file = process.env[`${name}_FILE`]
  const secret = new TextEncoder().encode(process.env[name] || !file ? getSetting(name) : await readSecretFile(file))
  if (secret.length < MIN_SECRET_BYTES) throw new Error(`${name} must have at least ${MIN_SECRET_BYTES} bytes.`)
  return secret
}

async function readSecretFile (file: string): Promise<string> {
  return (await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Error(`${file} cannot be read. Has presignd been started?`, { cause })
  })).trim()
}
