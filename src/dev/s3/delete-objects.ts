import { checkWriteConditions } from './conditions.js'
import { readRequiredXml } from './documents.js'
import { checkKey, type BucketCall, type Reply } from './operation.js'
import { S3Error } from './s3-error.js'
import { elements, renderXml, text, type XmlElement, type XmlTree } from './xml.js'

/** @throws {S3Error} for this key only; the others are deleted all the same. */
async function deleteOne (bucket: BucketCall['bucket'], entry: XmlElement, key: string): Promise<void> {
  checkKey(key)
  if (text(entry, 'VersionId') !== undefined) throw new S3Error('NotImplemented')
  await bucket.delete(key, (current) => checkWriteConditions({ ifMatch: text(entry, 'ETag'), ifNoneMatch: undefined }, current))
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html */
export async function deleteObjects ({ bucket, payload }: BucketCall): Promise<Reply> {
  const document = await readRequiredXml(payload, 'Delete')
  const entries = elements(document, 'Object')
  if (entries.length === 0 || entries.length > 1000) throw new S3Error('MalformedXML')
  const keys = entries.map((entry) => {
    const key = text(entry, 'Key')
    if (key === undefined || key === '') throw new S3Error('MalformedXML')
    return { entry, key }
  })
  const isQuiet = text(document, 'Quiet') === 'true'
  const deleted: XmlTree[] = []
  const failed: XmlTree[] = []
  for (const { entry, key } of keys) {
    try {
      await deleteOne(bucket, entry, key)
      if (!isQuiet) deleted.push({ Key: key })
    } catch (error) {
      if (!(error instanceof S3Error)) throw error
      failed.push({ Key: key, Code: error.code, Message: error.message })
    }
  }
  return { status: 200, body: renderXml('DeleteResult', { Deleted: deleted, Error: failed }) }
}
