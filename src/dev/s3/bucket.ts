import { createHash } from 'node:crypto'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { makeBucketFolder, openBucketFolder } from './bucket-folder.js'
import { readAllJson, readSegments, removeDataFile, removeJson, writeDataFile, writeJson, type Segment } from './files.js'
import { KeyIndex } from './key-index.js'
import { Lock } from './lock.js'
import type { ByteRange } from './range.js'
import { S3Error } from './s3-error.js'
import type { StoredBucket, StoredObject, StoredPart, StoredUpload } from './stored-object.js'

export interface Upload extends StoredUpload {
  readonly parts: Map<number, StoredPart>
}

/** A check made at the moment of a commit, when nobody else can change the key; it throws to refuse. */
export type CommitCheck = (current: StoredObject | undefined) => void

/** Any key becomes a name of one length and one case, which cannot leave the folder. */
function metaFileName (key: string): string {
  return `${createHash('sha256').update(key).digest('hex')}.json`
}

/**
 * A bucket in its folder: `objects/HASH.json` says everything about an object and names its files in `data/`, so renaming the JSON
 * file is the commit. Files that no JSON file names are leftovers and are deleted when the bucket is opened.
 */
export class Bucket {
  readonly objects = new KeyIndex<StoredObject>()
  readonly uploads = new Map<string, Upload>()
  readonly #lock = new Lock()
  readonly #readers = new Map<string, { count: number, isDiscarded: boolean }>()
  #commits = 0
  #isDeleted = false

  private constructor (readonly folder: string, public stored: StoredBucket) {}

  get #data (): string { return join(this.folder, 'data') }
  get #meta (): string { return join(this.folder, 'objects') }
  get #uploads (): string { return join(this.folder, 'uploads') }

  static async create (folder: string, stored: StoredBucket): Promise<Bucket> {
    await makeBucketFolder(folder)
    const bucket = new Bucket(folder, stored)
    await bucket.save(stored)
    return bucket
  }

  /** @returns undefined for what is no bucket */
  static async open (folder: string): Promise<Bucket | undefined> {
    const stored = await openBucketFolder(folder)
    if (stored === undefined) return undefined
    // Takes away what a killed process was writing.
    await readAllJson(join(folder, 'bucket'))
    const bucket = new Bucket(folder, stored)
    const used = new Set<string>()
    for (const object of await readAllJson(bucket.#meta) as StoredObject[]) {
      bucket.objects.set(object.key, object)
      for (const { file } of object.segments) used.add(file)
    }
    for (const uploadId of await readdir(bucket.#uploads)) {
      const parts = await bucket.#openUpload(uploadId)
      // Killed between the object's commit and the end of its upload: the parts are the object's now.
      const upload = bucket.uploads.get(uploadId)
      const taken = parts.map(({ segment }) => segment).filter(({ file }) => used.has(file))
      if (upload !== undefined && taken.length > 0) await bucket.endUpload(upload, taken)
      else for (const { segment } of parts) used.add(segment.file)
    }
    for (const file of await readdir(bucket.#data)) {
      if (!used.has(file)) await rm(join(bucket.#data, file))
    }
    return bucket
  }

  async #openUpload (uploadId: string): Promise<StoredPart[]> {
    const folder = join(this.#uploads, uploadId)
    const documents = await readAllJson(folder) as ReadonlyArray<StoredUpload | StoredPart>
    const upload = documents.find((document): document is StoredUpload => 'uploadId' in document)
    if (upload === undefined) {
      await rm(folder, { recursive: true })
      return []
    }
    const parts = documents.filter((document): document is StoredPart => 'partNumber' in document)
    this.uploads.set(uploadId, { ...upload, parts: new Map(parts.map((part) => [part.partNumber, part])) })
    return parts
  }

  async save (stored: StoredBucket): Promise<void> {
    await writeJson(join(this.folder, 'bucket'), 'bucket.json', stored)
    this.stored = stored
  }

  /** @throws {S3Error} BucketNotEmpty while it holds an object. */
  async remove (): Promise<void> {
    if (this.objects.size > 0 || this.#commits > 0) throw new S3Error('BucketNotEmpty')
    this.#isDeleted = true
    this.uploads.clear()
    await removeJson(join(this.folder, 'bucket'), 'bucket.json')
    await rm(this.folder, { recursive: true, force: true })
  }

  /** Puts bytes on the disk without naming them anywhere yet. */
  async stage<Result> (source: AsyncGenerator<Buffer, Result>): Promise<{ readonly segment: Segment, readonly result: Result }> {
    return await writeDataFile(this.#data, source)
  }

  /** Deletes staged or replaced bytes, those being read when their last reader has ended. */
  async discard (segments: readonly Segment[]): Promise<void> {
    for (const segment of segments) {
      const readers = this.#readers.get(segment.file)
      if (readers === undefined) await removeDataFile(this.#data, segment)
      else readers.isDiscarded = true
    }
  }

  /** The bytes of this version, whatever happens to the key meanwhile. The result must be iterated, or its files stay until the next start. */
  read ({ segments }: Pick<StoredObject, 'segments'>, range: ByteRange): AsyncGenerator<Buffer, undefined> {
    for (const { file } of segments) {
      const readers = this.#readers.get(file) ?? { count: 0, isDiscarded: false }
      readers.count++
      this.#readers.set(file, readers)
    }
    return this.#readAndRelease(segments, range)
  }

  async * #readAndRelease (segments: readonly Segment[], range: ByteRange): AsyncGenerator<Buffer, undefined> {
    try {
      yield * readSegments(this.#data, segments, range)
    } finally {
      for (const segment of segments) {
        const readers = this.#readers.get(segment.file)
        if (readers !== undefined && --readers.count === 0) {
          this.#readers.delete(segment.file)
          if (readers.isDiscarded) await removeDataFile(this.#data, segment)
        }
      }
    }
  }

  /** Makes the object visible if `check` allows it. The bytes that it replaces are deleted; its own stay even when this throws. */
  async commit (object: StoredObject, check: CommitCheck): Promise<void> {
    await this.#exclusively(object.key, async () => {
      const replaced = this.objects.get(object.key)
      check(replaced)
      await writeJson(this.#meta, metaFileName(object.key), object)
      this.objects.set(object.key, object)
      if (replaced !== undefined) await this.discard(replaced.segments)
    })
  }

  /** {@link commit} for bytes that nothing else names: a refusal deletes them. */
  async commitStaged (object: StoredObject, check: CommitCheck): Promise<void> {
    try {
      await this.commit(object, check)
    } catch (error) {
      if (this.objects.get(object.key) !== object) await this.discard(object.segments)
      throw error
    }
  }

  async delete (key: string, check: CommitCheck): Promise<void> {
    await this.#exclusively(key, async () => {
      const current = this.objects.get(key)
      check(current)
      if (current === undefined) return
      await removeJson(this.#meta, metaFileName(key))
      this.objects.delete(key)
      await this.discard(current.segments)
    })
  }

  async createUpload (upload: StoredUpload): Promise<void> {
    await mkdir(join(this.#uploads, upload.uploadId))
    await writeJson(join(this.#uploads, upload.uploadId), 'upload.json', upload)
    this.uploads.set(upload.uploadId, { ...upload, parts: new Map() })
  }

  /** Adds or replaces a part. @throws {S3Error} NoSuchUpload when the upload ended meanwhile; the bytes are deleted then. */
  async commitPart (uploadId: string, part: StoredPart): Promise<void> {
    await this.withUpload(uploadId, async (upload) => {
      await writeJson(join(this.#uploads, uploadId), `${part.partNumber}.json`, part)
      const replaced = upload.parts.get(part.partNumber)
      upload.parts.set(part.partNumber, part)
      if (replaced !== undefined) await this.discard([replaced.segment])
    }).catch(async (error: unknown) => {
      if (this.uploads.get(uploadId)?.parts.get(part.partNumber) !== part) await this.discard([part.segment])
      throw error
    })
  }

  /** Runs the task while no part can be added and nobody else can end the upload. @throws {S3Error} NoSuchUpload */
  async withUpload<Result> (uploadId: string, task: (upload: Upload) => Promise<Result>): Promise<Result> {
    return await this.#lock.run(`upload ${uploadId}`, async () => {
      const upload = this.uploads.get(uploadId)
      if (upload === undefined) throw new S3Error('NoSuchUpload', undefined, { UploadId: uploadId })
      return await task(upload)
    })
  }

  /** Forgets the upload and deletes its parts except those that an object has taken over. Call it inside {@link withUpload}. */
  async endUpload (upload: Upload, taken: readonly Segment[]): Promise<void> {
    const kept = new Set(taken.map(({ file }) => file))
    this.uploads.delete(upload.uploadId)
    await rm(join(this.#uploads, upload.uploadId), { recursive: true, force: true })
    await this.discard([...upload.parts.values()].map(({ segment }) => segment).filter(({ file }) => !kept.has(file)))
  }

  async #exclusively (key: string, task: () => Promise<void>): Promise<void> {
    // A bucket with a commit on its way is not empty.
    this.#commits++
    try {
      await this.#lock.run(`key ${key}`, async () => {
        if (this.#isDeleted) throw new S3Error('NoSuchBucket')
        await task()
      })
    } finally {
      this.#commits--
    }
  }
}
