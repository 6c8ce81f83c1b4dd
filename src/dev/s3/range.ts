import { S3Error } from './s3-error.js'

export interface ByteRange {
  readonly start: number
  /** Inclusive, as in Content-Range. */
  readonly end: number
}

/**
 * Undefined means the whole object: S3 serves one range, and ignores a header that it cannot read (RFC 9110 section 14.2).
 * @throws {S3Error} InvalidRange when no byte is in it, which is every range of an empty object.
 */
export function parseRange (value: string | undefined, sizeBytes: number): ByteRange | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(value?.trim() ?? '')
  const [, first = '', last = ''] = match ?? []
  if (first === '' && last === '') return undefined
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined
  const range = first === ''
    ? { start: Math.max(sizeBytes - Number(last), 0), end: sizeBytes - 1 }
    : { start: Number(first), end: last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1) }
  if (range.start > range.end) throw new S3Error('InvalidRange', undefined, { RangeRequested: value ?? '', ActualObjectSize: String(sizeBytes) })
  return range
}
