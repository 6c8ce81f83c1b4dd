import { checksumHeaders } from './checksums.js'
import { checkWriteConditions } from './conditions.js'
import { joinHeaders, pickObjectHeaders } from './object-headers.js'
import { checkPutSize, checkSupportedHeaders, quoteEtag, wholeSeconds, type ObjectCall, type Reply } from './operation.js'
import { header } from './request.js'
import type { StoredObject } from './stored-object.js'

export function writeConditions (request: ObjectCall['request']) {
  return { ifMatch: header(request, 'if-match'), ifNoneMatch: header(request, 'if-none-match') }
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html */
export async function putObject ({ bucket, key, request, payload, now }: ObjectCall): Promise<Reply> {
  checkSupportedHeaders(request)
  checkPutSize(payload.sizeBytes)
  const headers = pickObjectHeaders(joinHeaders(request.headers))
  const check = (current: StoredObject | undefined) => checkWriteConditions(writeConditions(request), current)
  check(bucket.objects.get(key))

  const { segment, result } = await bucket.stage(payload.read())
  const checksum = result.checksum === undefined ? undefined : { ...result.checksum, type: 'FULL_OBJECT' as const }
  await bucket.commitStaged({ key, etag: result.md5, sizeBytes: result.sizeBytes, lastModified: wholeSeconds(now), headers, checksum, segments: [segment] }, check)
  return { status: 200, headers: { etag: quoteEtag(result.md5), ...checksumHeaders(checksum) } }
}
