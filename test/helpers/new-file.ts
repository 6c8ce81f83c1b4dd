import { randomUUID } from 'node:crypto'
import type { FileId } from '../../src/files/file.js'
import type { NewFile } from '../../src/files/file-row.js'
import type { ObjectKey } from '../../src/policies/object-key.js'

export const NOW = new Date('2026-11-25T12:00:00.000Z')
export const later = (seconds: number) => new Date(NOW.getTime() + seconds * 1000)

/** An upload of ten bytes that is about to be inserted, with `change`. */
export function newFile (change: Partial<NewFile> = {}): NewFile {
  return {
    status: 'pending',
    id: randomUUID() as FileId,
    tenant: '',
    owner: 'ada',
    policy: 'pictures',
    filename: 'a.png',
    contentType: 'image/png',
    method: 'PUT',
    sizeBytes: 10,
    reservedBytes: change.sizeBytes ?? 10,
    partSizeBytes: null,
    checksum: null,
    stagingKey: null,
    idempotency: null,
    visibility: 'private',
    bucket: 'b',
    key: `pictures/${randomUUID()}` as ObjectKey,
    metadata: {},
    replaces: null,
    urlDeadline: later(900),
    nextCheckAt: later(60),
    multipartUploadId: null,
    version: 1,
    attempts: 0,
    createdAt: NOW,
    updatedAt: NOW,
    ...change
  }
}
