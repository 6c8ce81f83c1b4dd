import { readDocument, type Payload } from './payload.js'
import { S3Error } from './s3-error.js'
import { parseXml, type XmlElement } from './xml.js'

/** Room for 10,000 parts with their checksums, and for 1,000 keys of 1,024 bytes in the widest escapes. */
export const maxDocumentBytes = 8 * 1024 * 1024

/** @throws {S3Error} MalformedXML; the body's checksums are checked first. */
export async function readXml (payload: Payload, root: string): Promise<XmlElement> {
  return parseXml(await readDocument(payload.read(), maxDocumentBytes), root)
}

/**
 * For the documents that S3 takes only with a digest of them.
 * @throws {S3Error} InvalidRequest without Content-MD5 and checksum.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketCors.html (Content-MD5)
 */
export async function readRequiredXml (payload: Payload, root: string): Promise<XmlElement> {
  requireDigest(payload)
  return await readXml(payload, root)
}

export function requireDigest ({ integrity }: Payload): void {
  if (integrity.contentMd5 === undefined && integrity.algorithm === undefined) {
    throw new S3Error('InvalidRequest', 'Missing required header for this request: Content-MD5 OR x-amz-checksum-*')
  }
}
