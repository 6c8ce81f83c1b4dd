import { createVerify, X509Certificate } from 'node:crypto'

const TYPES = ['Notification', 'SubscriptionConfirmation', 'UnsubscribeConfirmation'] as const

/** A message of Amazon SNS, as it is posted. Nothing in it is true before its signature is verified. */
export interface SnsMessage {
  readonly Type: typeof TYPES[number]
  readonly MessageId: string
  readonly TopicArn: string
  readonly Message: string
  readonly Timestamp: string
  readonly SignatureVersion: string
  readonly Signature: string
  readonly SigningCertURL: string
  readonly Subject?: string
  readonly Token?: string
  readonly SubscribeURL?: string
}

const REQUIRED = ['MessageId', 'TopicArn', 'Message', 'Timestamp', 'SignatureVersion', 'Signature', 'SigningCertURL'] as const
const OPTIONAL = ['Subject', 'Token', 'SubscribeURL'] as const

/** Null when it is none. */
export function parseSnsMessage (body: unknown): SnsMessage | null {
  if (typeof body !== 'object' || body === null) return null
  const message = body as Partial<Record<keyof SnsMessage, unknown>>
  if (!TYPES.some(type => type === message.Type)) return null
  if (!REQUIRED.every(name => typeof message[name] === 'string')) return null
  // SNS sends a subject that there is none of as null.
  if (!OPTIONAL.every(name => message[name] === undefined || message[name] === null || typeof message[name] === 'string')) return null
  return message as SnsMessage
}

/** Signature versions and their hashes. */
const HASHES = new Map([['1', 'RSA-SHA1'], ['2', 'RSA-SHA256']])

/**
 * Whether the certificate, in PEM and of this time, has signed the message.
 * @see https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
 */
export function isSnsSignatureValid (message: SnsMessage, certificate: string, now: Date): boolean {
  const hash = HASHES.get(message.SignatureVersion)
  if (hash === undefined) return false
  try {
    const { publicKey, validFrom, validTo } = new X509Certificate(certificate)
    if (publicKey.asymmetricKeyType !== 'rsa' || now < new Date(validFrom) || now > new Date(validTo)) return false
    return createVerify(hash).update(renderSignedText(message)).verify(publicKey, message.Signature, 'base64')
  } catch {
    return false
  }
}

function renderSignedText (message: SnsMessage): string {
  const names = message.Type === 'Notification'
    ? ['Message', 'MessageId', 'Subject', 'Timestamp', 'TopicArn', 'Type'] as const
    : ['Message', 'MessageId', 'SubscribeURL', 'Timestamp', 'Token', 'TopicArn', 'Type'] as const
  return names.map(name => typeof message[name] === 'string' ? `${name}\n${message[name]}\n` : '').join('')
}

/** The address of SNS in the region of a topic. China has a domain of its own. */
export function snsHost (topicArn: string): string {
  const [, partition = '', , region = ''] = topicArn.split(':')
  return `sns.${region}.amazonaws.com${partition === 'aws-cn' ? '.cn' : ''}`
}
