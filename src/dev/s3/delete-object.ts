import { checkWriteConditions } from './conditions.js'
import { type ObjectCall, type Reply } from './operation.js'
import { header } from './request.js'

/**
 * Deleting what is not there is a success, unless If-Match names a version.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html
 */
export async function deleteObject ({ bucket, key, request }: ObjectCall): Promise<Reply> {
  await bucket.delete(key, (current) => checkWriteConditions({ ifMatch: header(request, 'if-match'), ifNoneMatch: undefined }, current))
  return { status: 204 }
}
