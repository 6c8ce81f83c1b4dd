import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { ApiError } from '../errors.js'
import { problemResponses } from '../problem-schemas.js'
import { runInBackground, type Services } from '../services.js'
import { hasSecret } from './check-sender.js'
import { createHintQueue } from './hint-queue.js'
import { countRecords, readNotifications } from './read-notifications.js'
import { NotificationBody, NotificationReply } from './schemas.js'
import { createSns } from './sns.js'

/** What AWS puts into one notification at most is far below. */
const MAX_RECORDS = 1000
const BODY_LIMIT_BYTES = 2 * 1024 * 1024

export const eventRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  const { token, snsTopicArns } = services.config.bucketEvents
  const sns = createSns({ topicArns: snsTopicArns, fetchText: services.fetchText, now: services.now })
  const hints = createHintQueue(services)

  // SNS says that its JSON is plain text, and others say nothing.
  const parseJson = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string', bodyLimit: BODY_LIMIT_BYTES }, (request, body, done) => parseJson(request, body as string, done))

  app.post('/events/s3', {
    bodyLimit: BODY_LIMIT_BYTES,
    config: { authentication: 'none' },
    // Before the body is read: whoever has no secret gets no further unless messages of SNS are taken, which are signed.
    async onRequest (request) {
      if (token === undefined && snsTopicArns.length === 0) throw new ApiError('NOT_FOUND', 'Bucket events are not configured here.')
      const { authorization } = request.headers
      const isTrusted = authorization !== undefined && token !== undefined && hasSecret(authorization, token)
      if (!isTrusted && (authorization !== undefined || snsTopicArns.length === 0)) throw new ApiError('UNAUTHENTICATED', 'Bucket events need the secret of this service.')
    },
    schema: {
      operationId: 'receiveBucketEvents',
      tags: ['events'],
      summary: 'Tell that objects were created',
      description: 'For S3 servers, not for clients: a hint to look at a bucket now. It is never believed; what it tells of is looked at as `complete` does. With EVENTS_TOKEN, senders carry that as a bearer token or as a password; with EVENTS_SNS_TOPIC_ARNS, signed messages of those topics are taken. Without either there is nothing at this address.',
      security: [{ events: [] }, {}],
      body: NotificationBody,
      response: { 200: { ...NotificationReply, description: 'It was heard. What comes of it is in the files.' }, ...problemResponses(['NOT_FOUND'], { hasBody: true }) }
    }
  }, async request => {
    const { body, headers: { authorization } } = request
    const isTrusted = authorization !== undefined
    const message = isTrusted ? null : await sns.verify(body)
    if (message?.Type === 'SubscriptionConfirmation') {
      services.log.info({ topicArn: message.TopicArn }, 'a subscription of bucket events is confirmed')
      runInBackground(services, sns.confirm(message))
    }
    const notification = message ? parseMessage(message.Message) : body
    if (countRecords(notification) > MAX_RECORDS) throw new ApiError('BODY_TOO_LARGE', `A notification may have at most ${MAX_RECORDS} records.`)
    return { received: hints.add(readNotifications(notification)) }
  })
}

/** A message that is no JSON, as the one of a subscription, tells of nothing. */
function parseMessage (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
