import { readEvidence, type Evidence } from './evidence.js'
import { explainSignature } from './explain-signature.js'
import { CUT, isCut, readPresignedUrl } from './presigned-url.js'

type Explain = (evidence: Evidence, secretAccessKey: string | undefined) => string

/**
 * The likely cause of an error of a store, and what to do, in one line; null when the text tells of none. Nothing secret
 * of the text is in it: no signature, key or token.
 * @param text an error document, what `curl -v` printed, or a URL with the headers that were sent
 */
export function explainError (text: string, secretAccessKey?: string): string | null {
  const evidence = readEvidence(text)
  const code = evidence.error.get('Code')
  const explain = findTransportFault(text) ?? findCorsFault(evidence) ??
    (code === undefined ? undefined : CODES.get(code) ?? (evidence.error.has('Detail') ? explainProblem : undefined)) ??
    (evidence.status === undefined ? undefined : STATUSES.get(evidence.status))
  if (explain) return oneLine(typeof explain === 'string' ? explain : explain(evidence, secretAccessKey))
  return code === undefined ? null : oneLine(`The store answered ${code}: ${withoutSecrets(evidence.error.get('Message') ?? 'it says no more')}`)
}

const FRESH = 'GET /uploads/{id} gives fresh instructions for the same upload, and POST /downloads a new URL for a download'
const AS_THE_REPLY = 'send the fields of the reply as they are, in their order, and then the file'
const TRY_AGAIN = 'Try again after a moment, each time after a longer one.'
const PERMISSIONS = new Map([['GET', 's3:GetObject'], ['HEAD', 's3:GetObject'], ['PUT', 's3:PutObject'], ['POST', 's3:PutObject'], ['DELETE', 's3:DeleteObject']])

/** By the codes of https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, and what Ceph and MinIO call the same. */
const CODES: ReadonlyMap<string, Explain> = new Map<string, Explain>([
  ['SignatureDoesNotMatch', explainSignature],
  ['AccessDenied', explainAccessDenied],
  ['RequestTimeTooSkewed', explainSkew],
  ['AuthorizationHeaderMalformed', explainRegion],
  ['AuthorizationQueryParametersError', explainRegion],
  ['IllegalLocationConstraintException', explainRegion],
  ['PermanentRedirect', explainRedirect],
  ['TemporaryRedirect', explainRedirect],
  ['PreconditionFailed', () => 'The object is there already: an earlier try has arrived. Go on with POST /uploads/{id}/complete.'],
  ['ConditionalRequestConflict', () => `Another request for the same object is under way. ${TRY_AGAIN}`],
  ['EntityTooLarge', ({ error }) => `The file is larger than was asked for${sizes(error, 'MaxSizeAllowed')}: ask for an upload with its real size, and look at maxSize of the policy.`],
  ['EntityTooSmall', ({ error }) => error.has('PartNumber') || /multipart|part/i.test(error.get('Message') ?? '')
    ? `A part is too small${sizes(error, 'MinSizeAllowed')}: every part but the last has partSizeBytes, and at least 5 MiB.`
    : `The file is smaller than was asked for${sizes(error, 'MinSizeAllowed')}: ask for an upload with its real size, and look at minSize of the policy.`],
  ['NoSuchBucket', explainBucket],
  ['InvalidBucketName', explainBucket],
  ['NoSuchKey', () => 'There is no object at this key: it was deleted, or has not arrived.'],
  ['NoSuchUpload', () => `The multipart upload is completed or given up: ${FRESH}.`],
  ['InvalidPart', () => 'A part is missing, or has been sent again in the meantime: call POST /uploads/{id}/complete without parts, and GET /uploads/{id} says what is missing.'],
  ['InvalidPartOrder', () => 'The parts were named out of order: call POST /uploads/{id}/complete without parts.'],
  ['InvalidAccessKeyId', () => 'The store does not know the access key that signed: AWS_ACCESS_KEY_ID is of another account or store, was deleted, or is temporary and lacks AWS_SESSION_TOKEN.'],
  ['ExpiredToken', () => `The temporary credentials that signed have expired: renew AWS_SESSION_TOKEN with its keys, or give the service a role that renews them by itself. Then ${FRESH}.`],
  ['TokenRefreshRequired', () => 'The temporary credentials that signed must be renewed: give the service a role that renews them by itself.'],
  ['InvalidToken', () => 'The store does not take the session token that came with the signature: AWS_SESSION_TOKEN belongs to other keys, or to another store.'],
  ['BadDigest', explainDigest],
  ['XAmzContentSHA256Mismatch', explainDigest],
  ['XAmzContentChecksumMismatch', explainDigest],
  ['InvalidDigest', () => 'The checksum is not written as the store wants it: base64 of the bytes of the hash, not of its hexadecimal digits.'],
  ['MissingContentLength', explainNoLength],
  ['IncompleteBody', () => 'Fewer bytes came than were announced: the connection broke, or the file changed while it was read. Send it again.'],
  ['RequestTimeout', () => 'The bytes came too slowly, or stopped. Send them again; large files go better in parts.'],
  ['AccessForbidden', explainCors],
  ['MethodNotAllowed', ({ method }) => `The store does not take ${method ?? 'this method'} here: use the method and the URL of the reply.`],
  ['InvalidPolicyDocument', () => `The policy of the form is not whole: ${AS_THE_REPLY}.`],
  ['MalformedPOSTRequest', () => `The body is not a form: ${AS_THE_REPLY}, as multipart/form-data, and let the library set content-type.`],
  ['InvalidArgument', explainArgument],
  ['NotImplemented', evidence => evidence.sent.has('transfer-encoding') || /transfer-encoding/i.test(evidence.error.get('Header') ?? evidence.error.get('Message') ?? '')
    ? explainNoLength()
    : 'The store lacks what a header asks for: S3_CONDITIONAL_WRITES=false and S3_CHECKSUMS=false leave out what some do not have.'],
  ['QuotaExceeded', () => 'The bucket or its owner holds as much as the store allows: raise the quota in the store, or delete something.'],
  ['XMinioStorageFull', () => 'The disk of the store is full.'],
  ['SlowDown', () => `The store has too much to do. ${TRY_AGAIN}`],
  ['ServiceUnavailable', () => `The store is not there at the moment. ${TRY_AGAIN}`],
  ['InternalError', () => `The store has failed by itself. ${TRY_AGAIN}`]
])

/** For answers without a document, as to HEAD, or of a store that sends none. */
const STATUSES: ReadonlyMap<number, Explain> = new Map<number, Explain>([
  [301, explainRedirect],
  [307, explainRedirect],
  [403, explainAccessDenied],
  [404, () => 'Neither the object nor the bucket is here: it was deleted, or S3_BUCKET or S3_ENDPOINT names another place.'],
  [411, explainNoLength],
  [412, () => 'The object is there already: an earlier try has arrived. Go on with POST /uploads/{id}/complete.'],
  [413, () => 'A proxy in front of the store takes no body as large as this: raise its limit.'],
  [429, () => `There were too many requests. ${TRY_AGAIN}`],
  [500, () => `The store has failed by itself. ${TRY_AGAIN}`],
  [503, () => `The store is not there at the moment. ${TRY_AGAIN}`]
])

function explainAccessDenied (evidence: Evidence, secretAccessKey: string | undefined): string {
  const { error, url, sent, replied } = evidence
  const message = error.get('Message') ?? ''
  const presigned = readPresignedUrl(url)
  const now = new Date(error.get('ServerTime') ?? replied.get('date') ?? NaN)

  if (/policy expired/i.test(message)) return `The form has expired: ${FRESH}.`
  if (/expired/i.test(message) || (presigned && now > presigned.expiresAt)) {
    const end = error.get('Expires') ?? presigned?.expiresAt.toISOString()
    return `The URL has expired${end === undefined ? '' : `: it was good until ${end}`}. Begin to send before expiresAt: ${FRESH}.`
  }
  if (/not yet valid/i.test(message)) return 'The URL is not valid yet: the clock of the service is ahead of that of the store. Set both by NTP.'
  const unsigned = error.get('HeadersNotSigned') ?? (presigned && [...sent.keys()].filter(name => name.startsWith('x-amz-') && !presigned.signedHeaders.includes(name)).join(', '))
  if (unsigned) return `A header was sent that is not signed, ${unsigned}: send exactly the headers of the reply, and nothing that a library adds.`
  if (/according to policy|policy condition|extra input/i.test(message)) return explainCondition(message)
  if (sent.has('authorization') && presigned) return 'A token was sent to the store with the presigned URL, which is the permission by itself: leave Authorization out.'
  if (isCut(url)) return CUT
  // Ceph says no more than this when a signature does not match.
  if (presigned && presigned.signedHeaders.some(name => name !== 'host' && sent.size > 0 && !sent.has(name))) return explainSignature(evidence, secretAccessKey)
  const permission = PERMISSIONS.get(evidence.method ?? presigned?.method ?? '')
  return `The credentials that signed may not do this: allow them ${permission ?? 's3:PutObject, s3:GetObject and s3:DeleteObject'} on the objects of the bucket, and look for a bucket policy that denies it.`
}

/** Like `Policy Condition failed: ["eq", "$Content-Type", "image/png"]`. */
function explainCondition (message: string): string {
  const [, extra] = /extra input fields?: *([\w-]+)/i.exec(message) ?? []
  if (extra !== undefined) return `The form has a field that was not signed, ${extra}: ${AS_THE_REPLY}.`
  const [, field = 'of the form', value] = /\$([\w-]+)"?, *"?([^"\]]*)/.exec(message) ?? []
  const wanted = /^(content-type|success_action_status|bucket)$/i.test(field) && value ? `, which must be ${value}` : ''
  return `The form does not fit its policy: the field ${field.toLowerCase()}${wanted}. Change nothing: ${AS_THE_REPLY}.`
}

function explainSkew ({ error }: Evidence): string {
  const [request, server] = [new Date(error.get('RequestTime')?.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z') ?? NaN), new Date(error.get('ServerTime') ?? NaN)]
  const minutes = Math.round((request.getTime() - server.getTime()) / 60_000)
  const distance = Number.isNaN(minutes) ? 'not that of the store' : `${Math.abs(minutes)} minutes ${minutes > 0 ? 'ahead of' : 'behind'} that of the store`
  return `The clock of whoever signed is ${distance}: set it by NTP.`
}

function explainRegion ({ error, url, replied }: Evidence): string {
  const message = error.get('Message') ?? ''
  const expected = error.get('Region') ?? replied.get('x-amz-bucket-region') ?? /expecting '([\w-]+)'/.exec(message)?.[1]
  const [, given = readPresignedUrl(url)?.region] = /region '([\w-]+)' is wrong/.exec(message) ?? []
  if (expected === undefined) return CUT
  return `The bucket is in the region ${expected}${given ? `, and ${given} was signed` : ''}: set S3_REGION=${expected}, or the region of that bucket in the policies file.`
}

function explainRedirect ({ error, replied }: Evidence): string {
  const endpoint = error.get('Endpoint')
  const region = replied.get('x-amz-bucket-region') ?? error.get('Region')
  return `The bucket is elsewhere${endpoint ? `, at ${endpoint}` : ''}: set S3_REGION${region ? `=${region}` : ' to its region'}, and S3_ENDPOINT to its server, or leave it out for AWS.`
}

function explainBucket ({ error, url }: Evidence): string {
  const name = error.get('BucketName') || error.get('Bucket') || url?.pathname.split('/')[1]
  return `There is no bucket${name ? ` "${name}"` : ''}${url ? ` at ${url.host}` : ''}: create it, or correct S3_BUCKET, S3_ENDPOINT, or S3_FORCE_PATH_STYLE, which says whether the name is in the path or in the host.`
}

function explainDigest (): string {
  return 'The bytes that came are not those whose checksum was promised: the file changed, was altered on its way, or its checksum was taken of something else. Ask for an upload with the checksum of what is sent.'
}

function explainNoLength (): string {
  return 'The body came without a length: send it from a file or a buffer, or set content-length, instead of a stream in chunks.'
}

function explainArgument ({ error, sent }: Evidence): string {
  const message = error.get('Message') ?? ''
  if (sent.has('authorization') || /only one auth mechanism/i.test(message) || error.get('ArgumentName') === 'Authorization') {
    return 'A token was sent to the store with the presigned URL, which is the permission by itself: leave Authorization out.'
  }
  if (/file upload|field/i.test(message)) return `The form is not as the store wants it: ${AS_THE_REPLY}, as the field "file".`
  return `An argument is not valid, ${error.get('ArgumentName') ?? 'which is not told'}: ${withoutSecrets(message)}`
}

function explainCors ({ sent, text }: Evidence): string {
  const origin = sent.get('origin') ?? /from origin '(https?:\/\/[^']+)'/.exec(text)?.[1] ?? 'of the page'
  const method = sent.get('access-control-request-method')
  const headers = sent.get('access-control-request-headers')
  return `The CORS rules of the bucket do not let the origin ${origin}${method ? ` send ${method}` : ' in'}${headers ? ` with ${headers}` : ''}: allow PUT, POST and GET from it, with the headers content-type, if-none-match and x-amz-*.`
}

function explainProblem ({ error }: Evidence): string {
  return `This is an answer of the service, ${error.get('Code')}: ${error.get('Detail')}`
}

/** What a browser says in its console, or a preflight that was refused. */
function findCorsFault ({ method, status, text }: Evidence): Explain | undefined {
  return /blocked by CORS policy|Cross-Origin Request Blocked/i.test(text) || (method === 'OPTIONS' && (status ?? 0) >= 400) ? explainCors : undefined
}

/** By the words of curl, for requests that no store has answered. */
function findTransportFault (text: string): string | undefined {
  const [, number, host] = /curl: \((\d+)\)(?: Could not resolve host: ([\w.-]+))?/.exec(text) ?? []
  const endpoint = 'S3_PUBLIC_ENDPOINT, or else S3_ENDPOINT, must be an address that clients reach'
  switch (number) {
    case '6': return `There is no host ${host ?? 'of this name'}: ${endpoint}. For AWS, look at S3_REGION.`
    case '7': return `Nobody answers at this address: ${endpoint}.`
    case '28': return `The address does not answer in time: ${endpoint}, and no firewall may be in between.`
    case '35':
    case '60': return 'The certificate of the store is not trusted, or it does not speak TLS: look at the scheme and the host of S3_ENDPOINT and S3_PUBLIC_ENDPOINT.'
    default: return undefined
  }
}

function sizes (error: ReadonlyMap<string, string>, limit: 'MaxSizeAllowed' | 'MinSizeAllowed'): string {
  const [proposed, allowed] = [error.get('ProposedSize'), error.get(limit)]
  return proposed !== undefined && allowed !== undefined ? ` (${proposed} bytes, with a limit of ${allowed})` : ''
}

/** For words of a store that are not known here: what looks like a key, a token or a signature is taken out. */
function withoutSecrets (message: string): string {
  return message.replace(/https?:\S+|[\w+/=.-]{20,}/g, '…').slice(0, 300)
}

function oneLine (text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}
