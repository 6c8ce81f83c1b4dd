import { ApiError } from '../errors.js'
import type { File } from '../files/file.js'
import { MAX_PARTS, MIN_PART_BYTES } from '../policies/choose-method.js'

/** How many part URLs one call hands out. */
export const MAX_PARTS_PER_CALL = 100

/** A file that goes up in parts. */
export type PartedFile<Kind extends File = File> = Kind & { readonly sizeBytes: number, readonly partSizeBytes: number }

/** A file that goes up in parts as its client cuts them, as Uppy does: only their sum is known, or not even that. */
export type ClientPartedFile<Kind extends File = File> = Kind & { readonly partSizeBytes: null }

/** Which parts a file has was fixed when it was created. */
export function getPartCount ({ sizeBytes, partSizeBytes }: PartedFile): number {
  return Math.ceil(sizeBytes / partSizeBytes)
}

/** The exact size of a part: all alike but the last. */
export function getPartSize (file: PartedFile, partNumber: number): number {
  return Math.min(file.partSizeBytes, file.sizeBytes - (partNumber - 1) * file.partSizeBytes)
}

export function isParted<Kind extends File> (file: Kind): file is PartedFile<Kind> {
  return file.method === 'multipart' && file.sizeBytes !== null && file.partSizeBytes !== null
}

export function hasClientParts<Kind extends File> (file: Kind): file is ClientPartedFile<Kind> {
  return file.method === 'multipart' && file.partSizeBytes === null
}

/** The first missing parts, at most as many as one call hands out. */
export function findMissingParts (file: PartedFile, isStored: (partNumber: number) => boolean): number[] {
  const missing: number[] = []
  for (let partNumber = 1; partNumber <= getPartCount(file) && missing.length < MAX_PARTS_PER_CALL; partNumber++) {
    if (!isStored(partNumber)) missing.push(partNumber)
  }
  return missing
}

/** @throws {ApiError} INVALID_REQUEST for a part that the file does not have */
export function checkPartNumbers (file: PartedFile | ClientPartedFile, partNumbers: readonly number[]): void {
  const most = isParted(file) ? getPartCount(file) : Math.ceil(file.reservedBytes / MIN_PART_BYTES)
  const count = Math.min(most, MAX_PARTS)
  const wrong = partNumbers.find(partNumber => partNumber > count)
  if (wrong === undefined) return
  const message = `The file has ${isParted(file) ? '' : 'at most '}${count} parts; there is no part ${wrong}.`
  throw new ApiError('INVALID_REQUEST', message, { errors: [{ path: '/partNumbers', message }] })
}
