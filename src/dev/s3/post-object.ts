import { parseCredential, parseTimestamp } from './authorization.js'
import type { Bucket } from './bucket.js'
import { deriveSigningKey, hmacHex } from './canonical-request.js'
import { checkBody } from './check-body.js'
import { checksumHeaders, findChecksum } from './checksums.js'
import { pickObjectHeaders } from './object-headers.js'
import { checkAcl, checkKey, maxPutBytes, quoteEtag, wholeSeconds, type Reply } from './operation.js'
import { withPostForm, type PostForm } from './post-form.js'
import { checkPolicy, type SizeRange } from './post-policy.js'
import { header, type S3Request } from './request.js'
import { S3Error } from './s3-error.js'
import { checkAccessKeyId, checkSessionToken, checkScope, equalsInConstantTime, type Verifier } from './verify-signature.js'
import { renderXml } from './xml.js'

export function isPostForm (request: S3Request): boolean {
  return request.method === 'POST' && request.bucket !== undefined && request.key === undefined && request.query.length === 0 &&
    (header(request, 'content-type') ?? '').toLowerCase().startsWith('multipart/form-data')
}

function requireField (fields: PostForm['fields'], name: string): string {
  const value = fields.get(name.toLowerCase())
  if (value === undefined || value === '') {
    throw new S3Error('InvalidArgument', `Bucket POST must contain a field named '${name}'.  If it is specified, please check the order of the fields.`, { ArgumentName: name })
  }
  return value
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-authentication-HTTPPOST.html */
function checkFormSignature (fields: PostForm['fields'], { credentials, region }: Verifier): string {
  const policy = fields.get('policy')
  if (policy === undefined) throw new S3Error('AccessDenied')
  if (requireField(fields, 'X-Amz-Algorithm') !== 'AWS4-HMAC-SHA256') throw new S3Error('InvalidArgument', 'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"', { ArgumentName: 'X-Amz-Algorithm' })
  const { accessKeyId, ...scope } = parseCredential(requireField(fields, 'X-Amz-Credential'), 'InvalidArgument')
  const timestamp = requireField(fields, 'X-Amz-Date')
  const signature = requireField(fields, 'X-Amz-Signature')
  if (parseTimestamp(timestamp) === undefined || !timestamp.startsWith(scope.date)) {
    throw new S3Error('InvalidArgument', 'X-Amz-Date must be in the ISO8601 Long Format and of the day of X-Amz-Credential.', { ArgumentName: 'X-Amz-Date', ArgumentValue: timestamp })
  }
  checkScope(scope, region, (message) => new S3Error('InvalidArgument', `Error parsing the X-Amz-Credential parameter; ${message}`, { ArgumentName: 'X-Amz-Credential' }))
  checkSessionToken(fields.get('x-amz-security-token'), credentials)
  checkAccessKeyId(accessKeyId, credentials)
  if (!equalsInConstantTime(hmacHex(deriveSigningKey(credentials.secretAccessKey, scope), policy), signature)) {
    throw new S3Error('SignatureDoesNotMatch', undefined, { StringToSign: policy })
  }
  return policy
}

async function * limitSize (file: PostForm['file'], { minBytes, maxBytes }: SizeRange): AsyncGenerator<Buffer, undefined> {
  let sizeBytes = 0
  for await (const chunk of file) {
    sizeBytes += chunk.length
    if (sizeBytes > maxBytes) throw new S3Error('EntityTooLarge', undefined, { ProposedSize: String(sizeBytes), MaxSizeAllowed: String(maxBytes) })
    yield chunk
  }
  if (sizeBytes < minBytes) throw new S3Error('EntityTooSmall', undefined, { ProposedSize: String(sizeBytes), MinSizeAllowed: String(minBytes) })
}

interface Posted {
  readonly bucket: string
  readonly key: string
  readonly etag: string
  readonly location: string
}

/** A redirect that is no URL is taken as not given, as S3 does. */
function parseRedirect (text: string | undefined): URL | undefined {
  return text !== undefined && URL.canParse(text) ? new URL(text) : undefined
}

function renderPosted (fields: PostForm['fields'], { bucket, key, etag, location }: Posted): Reply {
  const headers = { etag, location }
  const redirect = parseRedirect(fields.get('success_action_redirect') ?? fields.get('redirect'))
  if (redirect !== undefined) {
    for (const [name, value] of Object.entries({ bucket, key, etag })) redirect.searchParams.append(name, value)
    return { status: 303, headers: { etag, location: redirect.href } }
  }
  const status = fields.get('success_action_status')
  if (status === '201') return { status: 201, headers, body: renderXml('PostResponse', { Location: location, Bucket: bucket, Key: key, ETag: etag }) }
  return { status: status === '200' ? 200 : 204, headers }
}

async function storeForm (bucket: Bucket, request: S3Request, verifier: Verifier, { fields, file }: PostForm): Promise<Reply> {
  const key = requireField(fields, 'key')
  const now = verifier.now()
  const policy = checkFormSignature(fields, verifier)
  const range = checkPolicy(policy, { bucket: bucket.stored.name, fields, now })
  checkKey(key)
  checkAcl(fields.get('acl') ?? fields.get('x-amz-acl'))
  const unsupported = [...fields.keys()].find((name) => name === 'tagging' || name.startsWith('x-amz-server-side-encryption') || name.startsWith('x-amz-object-lock'))
  if (unsupported !== undefined) throw new S3Error('NotImplemented', undefined, { Header: unsupported })
  const headers = pickObjectHeaders(fields)
  const promised = findChecksum((name) => fields.get(name))
  const body = checkBody(limitSize(file, range ?? { minBytes: 0, maxBytes: maxPutBytes }), {
    contentMd5: fields.get('content-md5'),
    algorithm: promised?.algorithm,
    checksum: promised?.value
  })
  const { segment, result } = await bucket.stage(body)
  const checksum = result.checksum === undefined ? undefined : { ...result.checksum, type: 'FULL_OBJECT' as const }
  await bucket.commitStaged({ key, etag: result.md5, sizeBytes: result.sizeBytes, lastModified: wholeSeconds(now), headers, checksum, segments: [segment] }, () => {})
  const reply = renderPosted(fields, {
    bucket: bucket.stored.name,
    key,
    etag: quoteEtag(result.md5),
    location: `http://${request.host}${request.path.replace(/\/$/, '')}/${key.split('/').map(encodeURIComponent).join('/')}`
  })
  return { ...reply, headers: { ...checksumHeaders(checksum), ...reply.headers } }
}

/**
 * A browser's upload by form: its fields carry the signature, and the signed policy says what they may hold.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
 */
export async function postObject (bucket: Bucket, request: S3Request, verifier: Verifier): Promise<Reply> {
  return await withPostForm(request, async (form) => await storeForm(bucket, request, verifier, form))
}
