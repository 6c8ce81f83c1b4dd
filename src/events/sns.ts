import { ApiError } from '../errors.js'
import { isSnsSignatureValid, parseSnsMessage, snsHost, type SnsMessage } from './sns-message.js'

export interface SnsOptions {
  /** The topics whose messages are taken. */
  readonly topicArns: readonly string[]
  /** Gets a document of AWS. Rejects when that fails. */
  readonly fetchText: (url: URL) => Promise<string>
  readonly now: () => Date
}

const CERTIFICATE_PATH = /^\/SimpleNotificationService-[0-9a-f]{16,64}\.pem$/
/** AWS changes its certificate about once a year, in every region. */
const MAX_CERTIFICATES = 50

/** Takes messages of Amazon SNS whose signature, topic and origin are right, and nothing else. */
export function createSns ({ topicArns, fetchText, now }: SnsOptions) {
  const certificates = new Map<string, Promise<string>>()

  /** Fetched once; a failed fetch is forgotten, so that the next message tries again. */
  async function loadCertificate (url: URL): Promise<string> {
    let certificate = certificates.get(url.href)
    if (!certificate) {
      if (certificates.size >= MAX_CERTIFICATES) certificates.clear()
      certificate = fetchText(url)
      certificates.set(url.href, certificate)
      certificate.catch(() => certificates.delete(url.href))
    }
    try {
      return await certificate
    } catch (error) {
      throw new ApiError('AUTH_UNAVAILABLE', 'The certificate of the message cannot be fetched. Send it again.', { cause: error, retryAfterSeconds: 5 })
    }
  }

  return {
    /**
     * The message in a body, once it is verified.
     * @throws {ApiError} UNAUTHENTICATED, AUTH_UNAVAILABLE
     */
    async verify (body: unknown): Promise<SnsMessage> {
      const message = parseSnsMessage(body)
      // What costs nothing comes first: only for topics of ours is anything fetched.
      if (!message || !topicArns.includes(message.TopicArn)) throw refused()
      const url = awsUrl(message.SigningCertURL, message.TopicArn)
      if (!url || !CERTIFICATE_PATH.test(url.pathname) || url.search !== '') throw refused()
      const certificate = await loadCertificate(url)
      if (!isSnsSignatureValid(message, certificate, now())) throw refused()
      return message
    },

    /** Confirms the subscription that a verified message asks about. */
    async confirm ({ SubscribeURL, TopicArn }: SnsMessage): Promise<void> {
      const url = awsUrl(SubscribeURL ?? '', TopicArn)
      if (url?.searchParams.get('Action') !== 'ConfirmSubscription' || url.searchParams.get('TopicArn') !== TopicArn) throw refused()
      await fetchText(url)
    }
  }
}

/** Only https, and only the SNS of the topic's own region. */
function awsUrl (text: string, topicArn: string): URL | null {
  if (!URL.canParse(text)) return null
  const url = new URL(text)
  const isAws = url.protocol === 'https:' && url.host === snsHost(topicArn) && url.username === '' && url.password === '' && url.hash === ''
  return isAws ? url : null
}

function refused (): ApiError {
  return new ApiError('UNAUTHENTICATED', 'The notification carries neither the secret of this service nor the signature of a topic that is configured.')
}
