import { lstat, mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'

import type { StoredBucket } from './stored-object.js'

const SUBFOLDERS = ['data', 'objects', 'uploads', 'bucket']

export async function makeBucketFolder (folder: string): Promise<void> {
  for (const name of SUBFOLDERS) await mkdir(join(folder, name), { recursive: true })
}

/**
 * What a folder says of its bucket. Undefined for what is no bucket: someone else's, which stays, or one that a killed
 * process has half made, which goes.
 * @throws when there is a `bucket.json` that cannot be read
 */
export async function openBucketFolder (folder: string): Promise<StoredBucket | undefined> {
  const stored = await readStored(join(folder, 'bucket', 'bucket.json'))
  if (stored === undefined && await isHalfMade(folder)) await rm(folder, { recursive: true, force: true })
  return stored
}

async function readStored (path: string): Promise<StoredBucket | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as StoredBucket
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new Error(`${path} cannot be read: ${message}. Repair it, or move its bucket away`, { cause: error })
  }
}

/** Whether it has nothing but empty folders of ours, and maybe the document that was being written. */
async function isHalfMade (folder: string): Promise<boolean> {
  if (!(await lstat(folder)).isDirectory()) return false
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (!entry.isDirectory() || !SUBFOLDERS.includes(entry.name)) return false
    const names = await readdir(join(folder, entry.name))
    if (names.some(name => entry.name !== 'bucket' || !/^[0-9a-f-]{36}\.tmp$/.test(name))) return false
  }
  return true
}
