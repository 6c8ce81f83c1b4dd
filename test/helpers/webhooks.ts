import type { Test } from 'tap'
import { deliverWebhooks } from '../../src/jobs/deliver-webhooks.js'
import { sweepUploads } from '../../src/jobs/sweep-uploads.js'
import { sendWebhook, systemLookup } from '../../src/webhooks/send-webhook.js'
import type { Services } from '../../src/services.js'
import { png } from './samples.js'
import { send } from './send.js'
import { POLICIES, startService, type ServiceOptions } from './service.js'
import type { TestS3 } from './s3.js'

/** 32 bytes each, as Standard Webhooks writes them. */
export const HOOK_SECRET = 'whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='
export const OLD_HOOK_SECRET = 'whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8='

export const picture = png()

/** The policies of the other tests, with these webhooks: `name: { url: …, … }`, one a line. */
export function withWebhooks (webhooks: string, policies = POLICIES): string {
  return `webhooks:\n${webhooks.trim().split('\n').map(line => `  ${line.trim()}\n`).join('')}${policies}`
}

export const hook = (url: string, more = ''): string => `{ url: "${url}", secretFrom: HOOK_SECRET, allowPrivateAddresses: true${more && `, ${more}`} }`

export interface WebhookServiceOptions extends ServiceOptions {
  readonly webhooks: string
  readonly timeoutMs?: number
  /** The clock is moved by the test alone, where every second counts. */
  readonly isClockStopped?: boolean
}

/** A service with webhooks, whose clock the test moves; nothing is delivered but by `deliver`. */
export async function startWebhookService (t: Test, s3: TestS3, { webhooks, timeoutMs = 10_000, isClockStopped = false, adapt = services => services, policies, ...options }: WebhookServiceOptions) {
  let offset = 0
  const startedAt = Date.now()
  const service = await startService(t, s3, {
    ...options,
    policies: withWebhooks(webhooks, policies),
    env: { HOOK_SECRET, ...options.env },
    adapt: services => adapt({
      ...services,
      now: () => new Date((isClockStopped ? startedAt : Date.now()) + offset),
      webhooks: { ...services.webhooks, send: async (...post) => await sendWebhook(...post, { timeoutMs, lookup: systemLookup }) }
    })
  })
  const { services, call } = service
  const ada = await service.token('ada')
  const create = async (body: object = {}) => (await call('POST', '/uploads', { token: ada, body: { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length, ...body } })).json()
  const complete = async (id: string) => await call('POST', `/uploads/${id}/complete`, { token: ada })
  return {
    ...service,
    ada,
    create,
    complete,
    /** A ready file. */
    async upload (body: object = {}) {
      const { file, upload } = await create(body)
      await send(upload, picture)
      return (await complete(file.id)).json().file
    },
    deliver: async () => await deliverWebhooks(services),
    sweep: async () => await sweepUploads(services),
    after: (milliseconds: number) => { offset += milliseconds },
    outbox: async () => await outboxRows(services)
  }
}

/** All events, oldest first. */
export async function outboxRows ({ database }: Services) {
  return await database.selectFrom('outbox').selectAll().orderBy('created_at').orderBy('sequence').execute()
}
