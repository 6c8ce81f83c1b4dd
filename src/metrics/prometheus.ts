import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Metrics, StateOfThings } from './metrics.js'

/** How long an answer of the database is kept: several scrapers ask at their own times. */
const STATE_MS = 10_000

/** From a signature to a verification of a large multipart upload. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

export interface Prometheus extends Metrics {
  readonly contentType: string
  /** The page that is scraped. What the database does not tell in time is left out; nothing else fails for it. */
  render (): Promise<string>
}

/** @see https://prometheus.io/docs/practices/naming/ for the names */
export function createPrometheus (measure: () => Promise<StateOfThings>, now: () => Date): Prometheus {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const requests = new Histogram({ name: 'http_server_request_duration_seconds', help: 'Requests, by the pattern of their route.', labelNames: ['method', 'route', 'status'], buckets: SECONDS, registers })
  const uploads = new Counter({ name: 'uploads_total', help: 'Uploads that were created, and what became of them.', labelNames: ['policy', 'outcome'], registers })
  const verifications = new Histogram({ name: 'upload_verify_seconds', help: 'How long it took to look at what arrived.', buckets: SECONDS, registers })
  const s3Requests = new Counter({ name: 's3_requests_total', help: 'Calls of the object storage; status is none when no answer came.', labelNames: ['op', 'status'], registers })
  const deliveries = new Counter({ name: 'webhook_deliveries_total', help: 'Attempts to deliver a webhook.', labelNames: ['outcome'], registers })
  const leasesLost = new Counter({ name: 'lease_lost_total', help: 'Uploads that another process decided about while this one was looking.', registers })
  const clamped = new Counter({ name: 'url_ttl_clamped_total', help: 'URLs that end early, with the credentials that signed them.', registers })
  const files = new Gauge({ name: 'files', help: 'Files that count against quotas: ready, or unfinished.', labelNames: ['status'], registers })
  const sweeperLag = new Gauge({ name: 'sweeper_lag_seconds', help: 'How long the longest waiting row has waited for the sweeper.', registers })
  const outboxOldest = new Gauge({ name: 'outbox_oldest_seconds', help: 'How old the oldest webhook is that was not delivered yet.', registers })
  const isUp = new Gauge({ name: 'database_up', help: 'Whether the database answered this page.', registers })
  // A series that begins at 1 has not risen, so that an alert would miss the first one: https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics
  for (const outcome of ['delivered', 'failed', 'dead']) deliveries.inc({ outcome }, 0)
  let measuredAt = -Infinity

  async function measureState (): Promise<void> {
    if (now().getTime() - measuredAt < STATE_MS) return
    measuredAt = now().getTime()
    try {
      const state = await measure()
      files.set({ status: 'ready' }, state.files.ready)
      files.set({ status: 'unfinished' }, state.files.unfinished)
      sweeperLag.set(state.sweeperLagSeconds)
      outboxOldest.set(state.outboxOldestSeconds)
      isUp.set(1)
    } catch {
      // An old number that looks like a new one is worse than none, and so is the 0 that reset() gives a gauge without labels.
      files.reset()
      for (const gauge of [sweeperLag, outboxOldest]) gauge.remove()
      isUp.set(0)
    }
  }

  return {
    request: (method, route, status, seconds) => { requests.observe({ method, route, status }, seconds) },
    upload: (policy, outcome) => { uploads.inc({ policy, outcome }) },
    verification: seconds => { verifications.observe(seconds) },
    objectStorage: (op, status) => { s3Requests.inc({ op, status }) },
    webhook: (outcome, events) => { deliveries.inc({ outcome }, events) },
    leaseLost: () => { leasesLost.inc() },
    urlTtlClamped: () => { clamped.inc() },
    contentType: registry.contentType,
    async render () {
      await measureState()
      return await registry.metrics()
    }
  }
}
