import { checksumHeaders } from './checksums.js'
import { evaluateReadConditions } from './conditions.js'
import { renderObjectHeaders } from './object-headers.js'
import { quoteEtag, type ObjectCall, type Reply } from './operation.js'
import { parseRange } from './range.js'
import { header, queryValue } from './request.js'
import { S3Error } from './s3-error.js'

const responseOverrides = ['cache-control', 'content-disposition', 'content-encoding', 'content-language', 'content-type', 'expires']

function overriddenHeaders (request: ObjectCall['request']): Record<string, string> {
  return Object.fromEntries(responseOverrides.flatMap((name) => {
    const value = queryValue(request, `response-${name}`)
    return value === undefined ? [] : [[name, value]]
  }))
}

/**
 * Answers GET and HEAD, which differ in the body only.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
 */
export async function getObject ({ bucket, key, request }: ObjectCall): Promise<Reply> {
  const object = bucket.objects.get(key)
  if (object === undefined) throw new S3Error('NoSuchKey', undefined, { Key: key })
  const state = {
    etag: quoteEtag(object.etag),
    'last-modified': new Date(object.lastModified).toUTCString(),
    'cache-control': object.headers.system['cache-control'],
    expires: object.headers.system['expires']
  }
  const outcome = evaluateReadConditions({
    ifMatch: header(request, 'if-match'),
    ifNoneMatch: header(request, 'if-none-match'),
    ifModifiedSince: header(request, 'if-modified-since'),
    ifUnmodifiedSince: header(request, 'if-unmodified-since')
  }, object)
  if (outcome === 'failed') throw new S3Error('PreconditionFailed')
  if (outcome === 'not-modified') return { status: 304, headers: Object.fromEntries(Object.entries(state).filter((entry): entry is [string, string] => entry[1] !== undefined)) }

  const range = parseRange(header(request, 'range'), object.sizeBytes)
  const wantsChecksum = header(request, 'x-amz-checksum-mode')?.toUpperCase() === 'ENABLED' && range === undefined
  const { start, end } = range ?? { start: 0, end: object.sizeBytes - 1 }
  const headers = {
    ...renderObjectHeaders(object.headers),
    ...overriddenHeaders(request),
    ...(wantsChecksum ? checksumHeaders(object.checksum) : {}),
    ...(range === undefined ? {} : { 'content-range': `bytes ${start}-${end}/${object.sizeBytes}` }),
    etag: state.etag,
    'last-modified': state['last-modified'],
    'accept-ranges': 'bytes',
    'content-length': String(end - start + 1)
  }
  const status = range === undefined ? 200 : 206
  return request.method === 'HEAD' ? { status, headers } : { status, headers, body: bucket.read(object, { start, end }) }
}
