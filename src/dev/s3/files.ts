import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

import type { ByteRange } from './range.js'

/** A run of bytes in a data file of its own; data files are never changed after they were written. */
export interface Segment {
  readonly file: string
  readonly sizeBytes: number
}

async function syncFolder (folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Writes all bytes to a new data file and to the disk; returns what the source returned. A source that throws leaves no file. */
export async function writeDataFile<Result> (folder: string, source: AsyncGenerator<Buffer, Result>): Promise<{ readonly segment: Segment, readonly result: Result }> {
  const file = randomUUID()
  const path = join(folder, file)
  const handle = await open(path, 'wx')
  let sizeBytes = 0
  try {
    let next = await source.next()
    for (; next.done !== true; next = await source.next()) {
      for (let offset = 0; offset < next.value.length;) {
        offset += (await handle.write(next.value, offset)).bytesWritten
      }
      sizeBytes += next.value.length
    }
    await handle.sync()
    await handle.close()
    await syncFolder(folder)
    return { segment: { file, sizeBytes }, result: next.value }
  } catch (error) {
    await handle.close()
    await rm(path, { force: true })
    throw error
  }
}

/** Replaces the file in one step: after a crash it holds the old value or the new one. */
export async function writeJson (folder: string, name: string, value: unknown): Promise<void> {
  const temporary = join(folder, `${randomUUID()}${temporarySuffix}`)
  const handle = await open(temporary, 'wx')
  try {
    await handle.writeFile(JSON.stringify(value))
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, join(folder, name))
  await syncFolder(folder)
}

export async function removeJson (folder: string, name: string): Promise<void> {
  await rm(join(folder, name), { force: true })
  await syncFolder(folder)
}

const temporarySuffix = '.tmp'

/** Every JSON document of a folder; what a killed process left half-written is deleted. */
export async function readAllJson (folder: string): Promise<unknown[]> {
  const values: unknown[] = []
  for (const name of await readdir(folder)) {
    if (name.endsWith(temporarySuffix)) await rm(join(folder, name))
    else values.push(JSON.parse(await readFile(join(folder, name), 'utf8')))
  }
  return values
}

/** The bytes `start` up to and including `end` of the segments put end to end. */
export async function * readSegments (folder: string, segments: readonly Segment[], range: ByteRange): AsyncGenerator<Buffer, undefined> {
  let position = 0
  for (const { file, sizeBytes } of segments) {
    const start = Math.max(range.start - position, 0)
    const end = Math.min(range.end - position, sizeBytes - 1)
    if (start <= end) {
      for await (const chunk of createReadStream(join(folder, file), { start, end })) yield chunk as Buffer
    }
    position += sizeBytes
  }
}

export async function removeDataFile (folder: string, { file }: Segment): Promise<void> {
  await rm(join(folder, file), { force: true })
}
