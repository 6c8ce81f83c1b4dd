import type { TestS3 } from '../../helpers/s3.js'
import { element, presign, requestFor, send, sendSigned } from './send.js'

/** What AWS documents and not every server does; the embedded store must do all of it. */
export interface Capabilities {
  /** If-Match with another ETag refuses a PUT. */
  readonly ifMatchRefusesPut: boolean
  /** If-Match with the right ETag, in quotes as it was received, allows a PUT. */
  readonly ifMatchAllowsPut: boolean
  /** x-amz-copy-source-if-match and the other three decide about a copy. */
  readonly copySourceConditions: boolean
  /** `bytes=-0` asks for nothing and is refused. */
  readonly emptySuffixRefused: boolean
  readonly createOnlyOnCopy: boolean
  readonly createOnlyOnComplete: boolean
  /** A completion may name some of the parts only. */
  readonly partsMayBeLeftOut: boolean
  /** x-amz-checksum-* is checked, stored and sent back. */
  readonly checksumsKept: boolean
  readonly unsignedAmzHeadersRefused: boolean
  /** A signature that does not match has its own code instead of AccessDenied. */
  readonly badSignatureNamed: boolean
}

/** Completes the first part over an object that is there; returns the status. */
async function probeComplete (s3: TestS3, bucket: string, partCount: number, headers: Readonly<Record<string, string>>): Promise<number> {
  const key = 'probe-complete'
  await sendSigned(s3, requestFor(s3, 'PUT', bucket, key, { body: 'old' }))
  const created = await sendSigned(s3, requestFor(s3, 'POST', bucket, key, { query: 'uploads=' }))
  const uploadId = encodeURIComponent(element(created.body, 'UploadId') ?? '')
  const etags: string[] = []
  for (let number = 1; number <= partCount; number++) {
    const part = await sendSigned(s3, requestFor(s3, 'PUT', bucket, key, { query: `partNumber=${number}&uploadId=${uploadId}`, body: 'new' }))
    etags.push(part.headers['etag'] ?? '')
  }
  const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${etags[0] ?? ''}</ETag></Part></CompleteMultipartUpload>`
  return (await sendSigned(s3, requestFor(s3, 'POST', bucket, key, { query: `uploadId=${uploadId}`, body, headers }))).status
}

/** Asks the server once for each, so that a test knows what to expect without knowing the server's name. */
export async function measureCapabilities (s3: TestS3): Promise<Capabilities> {
  const bucket = await s3.createBucket()
  const put = (key: string, headers: Readonly<Record<string, string>>) => sendSigned(s3, requestFor(s3, 'PUT', bucket, key, { body: 'probe', headers }))
  await put('other', {})
  const created = await put('probe', {})
  await put('other', {})
  const copy = (name: string, value: string) => requestFor(s3, 'PUT', bucket, 'probe', { headers: { 'x-amz-copy-source': `/${bucket}/other`, [name]: value } })
  const wrongChecksum = await put('checksum', { 'x-amz-checksum-crc32': 'AAAAAA==' })
  const unsigned = presign(s3, requestFor(s3, 'PUT', bucket, 'unsigned', { body: 'probe' }))
  return {
    ifMatchRefusesPut: (await put('probe', { 'if-match': '"00000000000000000000000000000000"' })).status === 412,
    ifMatchAllowsPut: (await put('probe', { 'if-match': created.headers['etag'] ?? '' })).status === 200,
    copySourceConditions: (await sendSigned(s3, copy('x-amz-copy-source-if-match', '"00000000000000000000000000000000"'))).status === 412,
    emptySuffixRefused: (await sendSigned(s3, requestFor(s3, 'GET', bucket, 'probe', { headers: { range: 'bytes=-0' } }))).status === 416,
    createOnlyOnCopy: (await sendSigned(s3, copy('if-none-match', '*'))).status === 412,
    createOnlyOnComplete: await probeComplete(s3, bucket, 1, { 'if-none-match': '*' }) === 412,
    partsMayBeLeftOut: await probeComplete(s3, bucket, 2, {}) === 200,
    checksumsKept: wrongChecksum.status === 400,
    unsignedAmzHeadersRefused: (await send(s3.endpoint, { ...unsigned, headers: { ...unsigned.headers, 'x-amz-meta-a': 'b' } })).status === 403,
    badSignatureNamed: (await send(s3.endpoint, { ...unsigned, method: 'DELETE' })).code === 'SignatureDoesNotMatch'
  }
}
