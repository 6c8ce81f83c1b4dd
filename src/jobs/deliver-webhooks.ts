import type { Services } from '../services.js'
import { GONE, type Claimed } from '../webhooks/outbox.js'
import { nextAttemptAt, parseRetryAfter } from '../webhooks/retry-schedule.js'
import { signWebhook } from '../webhooks/sign-webhook.js'
import type { WebhookEndpoint } from '../webhooks/webhook-endpoint.js'
import { VERSION } from '../version.js'

export interface DeliveryReport {
  readonly delivered: number
  /** Attempts that failed and come again. */
  readonly failed: number
  /** Events that will not be delivered: they failed for the last time, or their receiver wants no more. */
  readonly dead: number
}

/** How many events one endpoint gets at a time; another endpoint does not wait for them. */
const CONCURRENCY = 10

/** Delivers what is due, to all endpoints at once, and ends when nothing is. Safe beside other processes that do the same. */
export async function deliverWebhooks (services: Services, signal?: AbortSignal): Promise<DeliveryReport> {
  const reports = await Promise.all([...services.webhooks.endpoints.values()].map(async endpoint => await deliverTo(services, endpoint, signal)))
  return reports.reduce((sum, report) => ({ delivered: sum.delivered + report.delivered, failed: sum.failed + report.failed, dead: sum.dead + report.dead }), { delivered: 0, failed: 0, dead: 0 })
}

/** The same for one endpoint. */
export async function deliverTo (services: Services, endpoint: WebhookEndpoint, signal?: AbortSignal): Promise<DeliveryReport> {
  const { outbox } = services.webhooks
  const report = { delivered: 0, failed: 0, dead: 0 }
  while (!signal?.aborted) {
    const { standing, dead } = await outbox.check(endpoint.name, services.now())
    report.dead += dead
    services.metrics.webhook('dead', dead)
    if (dead > 0) services.log.error({ endpoint: endpoint.name, events: dead }, 'events of a disabled webhook are dead: nobody has another URL of it any more')
    if (standing !== 'enabled') break
    const claimed = await outbox.claim(endpoint.name, services.now(), CONCURRENCY, services.newId())
    if (claimed.length === 0) break
    await Promise.all(claimed.map(async event => {
      const result = await deliver(services, endpoint, event)
      if (result === null) return
      report[result.outcome] += result.events
      services.metrics.webhook(result.outcome, result.events)
    }))
  }
  return report
}

interface Result { readonly outcome: keyof DeliveryReport, readonly events: number }

/** @returns null when the lease was lost: whoever has it now decides */
async function deliver ({ webhooks, now, log }: Services, endpoint: WebhookEndpoint, event: Claimed): Promise<Result | null> {
  const { outbox } = webhooks
  const headers = { 'content-type': 'application/json', 'user-agent': `presignd/${VERSION}`, ...signWebhook(endpoint.secrets, event.id, now(), event.payload) }
  const outcome = await webhooks.send(endpoint, headers, event.payload)
  const at = now()
  const about = { endpoint: endpoint.name, webhookId: event.id, fileId: event.fileId, attempts: event.attempts, status: outcome.status }
  if (outcome.status !== null && outcome.status >= 200 && outcome.status < 300) {
    if (await outbox.markDelivered(event, outcome.status, at)) return { outcome: 'delivered', events: 1 }
    log.warn(about, 'a webhook took longer than its lease; it will be sent again')
    return null
  }
  if (outcome.status === GONE) {
    const events = await outbox.disable(endpoint, event, at)
    if (events === null) {
      log.warn(about, 'a webhook endpoint answered 410 where other processes have another URL of it; its events wait for them')
      return { outcome: 'failed', events: 1 }
    }
    // With all that waits for the endpoint, which nobody else counts.
    log.error({ ...about, events }, 'a webhook endpoint answered 410 and is disabled')
    return { outcome: 'dead', events }
  }
  const error = outcome.status === null ? outcome.error : `the receiver answered ${outcome.status}`
  const next = nextAttemptAt(event.attempts, at, outcome.status === null ? 0 : parseRetryAfter(outcome.retryAfter, at), Math.random())
  const isRecorded = await outbox.markFailed(event, { nextAttemptAt: next, status: outcome.status, error }, at)
  if (next) log.warn({ ...about, error, nextAttemptAt: next }, 'a webhook was not delivered; it will be sent again')
  else log.error({ ...about, error }, 'a webhook was not delivered for the last time')
  if (!isRecorded) return null
  return { outcome: next ? 'failed' : 'dead', events: 1 }
}
