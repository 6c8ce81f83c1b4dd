import { createHmac } from 'node:crypto'
import type { Evidence } from './evidence.js'
import { CUT, isCut, methodOf, readPresignedUrl } from './presigned-url.js'

const SEND_EXACTLY = 'send exactly the headers of the reply, and exactly sizeBytes bytes'

/**
 * Why a signature is not the one that the store has calculated: what is signed is compared with what was sent, and with
 * what the store says it got.
 * @param secretAccessKey tells a wrong secret from a changed request, where the store tells what it has signed
 */
export function explainSignature (evidence: Evidence, secretAccessKey: string | undefined): string {
  const presigned = readPresignedUrl(evidence.url)
  const { sent, error } = evidence
  const got = readCanonicalRequest(error.get('CanonicalRequest'))
  const signature = presigned?.signature ?? error.get('SignatureProvided') ?? /Signature=([0-9a-f]{64})/.exec(sent.get('authorization') ?? '')?.[1]
  const stringToSign = error.get('StringToSign')
  const isOurs = secretAccessKey !== undefined && signature !== undefined && stringToSign !== undefined && sign(secretAccessKey, stringToSign) === signature
  if (isOurs) return 'The request is as it was signed, and the store knows another secret for this access key: correct AWS_SECRET_ACCESS_KEY.'
  if (isCut(evidence.url)) return CUT
  const change = findChange(evidence, got)
  if (change !== null) return change
  const signedHeaders = presigned?.signedHeaders ?? got?.signedHeaders ?? []
  const values = signedHeaders.filter(name => name !== 'host').map(name => `${name} (${show(name, got?.headers.get(name) ?? sent.get(name))})`)
  const doubt = secretAccessKey === undefined || stringToSign === undefined ? ' If nothing is different, AWS_SECRET_ACCESS_KEY is not the secret of this access key.' : ''
  return values.length > 0
    ? `All that is signed was sent, but a value is not the one that was signed: ${values.join(', ')}. Compare with the reply of POST /uploads, and ${SEND_EXACTLY}.${doubt}`
    : `The path or the query of the URL was changed on its way: use it as it is, or ask for a new one.${doubt}`
}

/** A difference that can be named. */
function findChange ({ sent, method, url }: Evidence, got: CanonicalRequest | null): string | null {
  const actual = got?.method ?? method
  const signedMethod = got?.signedMethod ?? readPresignedUrl(url)?.method
  if (signedMethod !== undefined && actual !== undefined && actual !== signedMethod) return `The URL is for ${signedMethod}, and ${actual} was sent: the method is signed, too.`
  const signedHeaders = got?.signedHeaders ?? readPresignedUrl(url)?.signedHeaders ?? []
  // Every client sets these two by itself: where only a person tells what was sent, they go without saying.
  const isWhole = got !== null || sent.has('host')
  const told = signedHeaders.filter(name => isWhole || (sent.size > 0 && name !== 'host' && name !== 'content-length'))
  for (const name of told) {
    const [asSent, asGot] = [sent.get(name), got?.headers.get(name)]
    if ((asGot ?? asSent ?? '') === '') {
      if (name === 'content-length' && sent.has('transfer-encoding')) return `The body was sent in chunks, and its length is signed: ${SEND_EXACTLY}, from a file or a buffer instead of a stream.`
      return asSent !== undefined && asSent !== ''
        ? `The header ${name} is signed and was sent, and did not reach the store: a proxy in between takes it out.`
        : `The header ${name} is signed and was not sent: ${SEND_EXACTLY}.`
    }
    if (asSent !== undefined && asGot !== undefined && asSent.replace(/\s+/g, ' ') !== asGot) {
      return `The header ${name} was sent as ${show(name, asSent)}, and the store got ${show(name, asGot)}: a proxy in between changes it.`
    }
    if (name === 'host' && url !== undefined && asSent !== undefined && asSent !== url.host) return `The URL is for the host ${url.host}, and the request went to ${asSent}: the host is signed, too.`
  }
  return null
}

/** Values that are no secret. */
const SHOWN = /^(host|content-(type|length|encoding|disposition)|if-(none-)?match|x-amz-(checksum-\w+|content-sha256|date|acl))$/

function show (name: string, value: string | undefined): string {
  return SHOWN.test(name) ? value ?? 'not told here' : 'not shown'
}

interface CanonicalRequest {
  readonly method: string
  /** What its query says that it is for. */
  readonly signedMethod?: string | undefined
  readonly headers: ReadonlyMap<string, string>
  readonly signedHeaders: readonly string[]
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html (canonical request) */
function readCanonicalRequest (text: string | undefined): CanonicalRequest | null {
  if (text === undefined) return null
  const [method = '', , query = '', ...rest] = text.split('\n')
  const end = rest.indexOf('')
  const headers = rest.slice(0, end).map(line => line.split(/:(.*)/s) as [string, string])
  return { method, signedMethod: methodOf(new URLSearchParams(query)), headers: new Map(headers), signedHeaders: (rest[end + 1] ?? '').split(';') }
}

/** The string to sign names day, region and service in its third line. */
function sign (secretAccessKey: string, stringToSign: string): string {
  const scope = (stringToSign.split('\n')[2] ?? '').split('/')
  const key = scope.reduce<string | Buffer>((parent, step) => createHmac('sha256', parent).update(step).digest(), `AWS4${secretAccessKey}`)
  return createHmac('sha256', key).update(stringToSign).digest('hex')
}
