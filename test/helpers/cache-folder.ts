import { mkdir, mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A new folder for what is built. In the project, since packages that are not built in are looked up from there. */
export async function makeCacheFolder (prefix: string): Promise<string> {
  const cache = fileURLToPath(new URL('../../node_modules/.cache/presignd/', import.meta.url))
  await mkdir(cache, { recursive: true })
  return await mkdtemp(join(cache, prefix))
}
