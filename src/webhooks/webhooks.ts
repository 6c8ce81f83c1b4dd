import type { Outbox } from './outbox.js'
import type { SendOutcome } from './send-webhook.js'
import type { WebhookEndpoint } from './webhook-endpoint.js'

/** What it takes to tell others of files. */
export interface Webhooks {
  /** By name. */
  readonly endpoints: ReadonlyMap<string, WebhookEndpoint>
  readonly outbox: Outbox
  /** One POST. Never rejects. */
  send (endpoint: WebhookEndpoint, headers: Readonly<Record<string, string>>, body: string): Promise<SendOutcome>
}
