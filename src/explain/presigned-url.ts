/** What a presigned URL says of itself. */
export interface PresignedUrl {
  readonly signedHeaders: readonly string[]
  readonly signature: string
  readonly region: string
  readonly signedAt: Date
  readonly expiresAt: Date
  readonly method: string | undefined
}

/** The SDK's names of operations, which presigned URLs carry as `x-id`. */
const METHODS = new Map([['PutObject', 'PUT'], ['UploadPart', 'PUT'], ['GetObject', 'GET'], ['DeleteObject', 'DELETE']])

/** The method that a URL is for, as far as it says so. */
export function methodOf (query: URLSearchParams): string | undefined {
  return METHODS.get(query.get('x-id') ?? '')
}

/** Null when the URL has no signature of version 4, or not all of one. */
export function readPresignedUrl (url: URL | undefined): PresignedUrl | null {
  const value = (name: string): string => url?.searchParams.get(name) ?? ''
  const signedAt = parseTimestamp(value('X-Amz-Date'))
  if (url === undefined || signedAt === null || !/^[0-9a-f]{64}$/.test(value('X-Amz-Signature'))) return null
  return {
    signedHeaders: value('X-Amz-SignedHeaders').split(';'),
    signature: value('X-Amz-Signature'),
    region: value('X-Amz-Credential').split('/').at(-3) ?? '',
    signedAt,
    expiresAt: new Date(signedAt.getTime() + Number(value('X-Amz-Expires')) * 1000),
    method: methodOf(url.searchParams)
  }
}

export const CUT = 'The URL was cut or changed on its way: its signature is not whole. Use it as it is, with quotes around it in a shell.'

/** Whether something of a signature is left in a URL that once had all of it. */
export function isCut (url: URL | undefined): boolean {
  return url !== undefined && [...url.searchParams.keys()].some(name => name.startsWith('X-Amz-')) && readPresignedUrl(url) === null
}

function parseTimestamp (text: string): Date | null {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text) ?? []
  return year === undefined ? null : new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
}
