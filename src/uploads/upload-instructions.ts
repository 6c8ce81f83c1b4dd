import type { PendingFile } from '../files/file.js'
import type { StoredPart } from '../object-storage/object-storage.js'
import type { Services } from '../services.js'
import { findMissingParts, getPartCount, getPartSize, isParted, type PartedFile } from './upload-parts.js'

/** How long an upload URL of this policy lives. A policy that is gone from the file leaves the default. */
export function uploadUrlTtlSeconds ({ policies, config }: Services, policy: string): number {
  return policies.get(policy)?.uploadUrlTtlSeconds ?? config.uploadUrlTtlSeconds
}

/** The end of a URL that is signed at this time. The row has to know it before the URL leaves. */
export function urlDeadline (signedAt: Date, ttlSeconds: number): Date {
  return new Date((Math.floor(signedAt.getTime() / 1000) + ttlSeconds) * 1000)
}

/**
 * What the row of an upload whose parts are signed one by one is told: one life more than the URL signed now, so
 * that the next thousands of them are covered, too, and need no write.
 */
export function partsDeadline (services: Services, policy: string, signedAt: Date): Date {
  return urlDeadline(signedAt, 2 * uploadUrlTtlSeconds(services, policy))
}

type StoredSizes = ReadonlyArray<Pick<StoredPart, 'partNumber' | 'sizeBytes'>> | null

/**
 * Signs what a client needs to send the bytes of this file. `file.urlDeadline` must cover it already, and a
 * multipart upload must be begun.
 * @param storedParts what S3 has of a multipart upload; null says nothing of it to the client
 */
export async function signInstructions (services: Services, file: PendingFile, signedAt: Date, storedParts: StoredSizes = null) {
  const { objectStorage, policies } = services
  if (isParted(file)) return await signMultipart(services, file, signedAt, storedParts)
  const { bucket, contentType, checksum } = file
  const key = file.stagingKey ?? file.key
  const expiresInSeconds = uploadUrlTtlSeconds(services, file.policy)
  if (file.method === 'POST') {
    const { method, url, fields, expiresAt } = await objectStorage.presignPost({
      bucket,
      key,
      contentType,
      checksum,
      signedAt,
      expiresInSeconds,
      minSizeBytes: file.sizeBytes ?? policies.get(file.policy)?.minSizeBytes ?? 0,
      maxSizeBytes: file.reservedBytes
    })
    return { method, url, fields, expiresAt: expiresAt.toISOString() }
  }
  const { method, url, headers, expiresAt } = await objectStorage.presignPut({ bucket, key, contentType, checksum, signedAt, expiresInSeconds, sizeBytes: file.sizeBytes ?? 0 })
  return { method, url, headers, expiresAt: expiresAt.toISOString() }
}

async function signMultipart (services: Services, file: PartedFile<PendingFile>, signedAt: Date, storedParts: StoredSizes) {
  const stored = new Map(storedParts?.map(part => [part.partNumber, part.sizeBytes]))
  const isStored = (partNumber: number) => stored.get(partNumber) === getPartSize(file, partNumber)
  const { parts, expiresAt } = await signParts(services, file, findMissingParts(file, isStored), signedAt)
  return {
    method: 'multipart' as const,
    partSizeBytes: file.partSizeBytes,
    partCount: getPartCount(file),
    parts,
    ...(storedParts && { uploadedParts: storedParts.filter(part => isStored(part.partNumber)).map(({ partNumber, sizeBytes }) => ({ partNumber, sizeBytes })) }),
    expiresAt
  }
}

/** @param sha256 that of parts, by part number, where the client wants them bound */
export async function signParts (services: Services, file: PartedFile<PendingFile>, partNumbers: readonly number[], signedAt: Date, sha256: ReadonlyMap<number, string> = new Map()) {
  const { parts, expiresAt } = await services.objectStorage.presignParts({
    bucket: file.bucket,
    key: file.key,
    multipartUploadId: file.multipartUploadId ?? '',
    parts: partNumbers.map(partNumber => ({ partNumber, sizeBytes: getPartSize(file, partNumber), sha256: sha256.get(partNumber) ?? null })),
    signedAt,
    expiresInSeconds: uploadUrlTtlSeconds(services, file.policy)
  })
  return { parts: parts.map(({ partNumber, url, headers }) => ({ partNumber, url, headers, sizeBytes: getPartSize(file, partNumber) })), expiresAt: expiresAt.toISOString() }
}
