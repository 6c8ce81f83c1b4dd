import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { buildApp, type AppOptions } from './app.js'
import { ConfigError, type Config } from './config.js'
import { lockSqlite } from './database/sqlite.js'
import { keepDelivering } from './jobs/keep-delivering.js'
import { createLog } from './logs.js'
import { serveMetrics } from './metrics/metrics-server.js'
import { sweepUploads } from './jobs/sweep-uploads.js'
import { closeServices, createServices, type Services } from './services.js'

export interface Server {
  readonly url: string
  readonly services: Services
  /** Where metrics are, when there are any. */
  readonly metricsPort?: number
  /**
   * Ends without dropping a request: /readyz fails at once, requests are served while a load balancer takes
   * notice, then no new ones are taken and those under way are finished. Safe to call again.
   */
  close (): Promise<void>
}

/** How long requests under way may take once no new ones are taken. */
export const FINISH_TIMEOUT_MS = 15_000

/** Config → services → app → listen. */
export async function startServer (config: Config, { development, log = createLog(config) }: Pick<AppOptions, 'development'> & { readonly log?: Services['log'] } = {}): Promise<Server> {
  const services = await createServices(config, log)
  let closing: Promise<void> | undefined
  try {
    const app = await buildApp(services, { isDraining: () => closing !== undefined, ...(development && { development }) })
    for (const warning of config.warnings) services.log.warn(warning)
    await app.listen({ host: config.host, port: config.port, listenTextResolver: () => 'listening' })
    const { port } = app.server.address() as AddressInfo
    const unlock = await lockDatabase(config).catch(async (error: unknown) => {
      await app.close()
      throw error
    })

    const metrics = services.prometheus && await serveMetrics(services.prometheus, config.host, config.metricsPort ?? 0).catch(async (error: unknown) => {
      await app.close()
      unlock()
      const isTaken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
      throw isTaken ? new ConfigError([`METRICS_PORT: port ${config.metricsPort} is taken, choose another`]) : error
    })
    if (metrics) services.log.info({ port: metrics.port }, 'metrics')

    const comparing = setTimeout(compareWithStore, STORE_CHECK_DELAY_MS, services).unref()
    const jobs = [startSweeping(services), ...(config.webhookDelivery ? [keepDelivering(services)] : [])]
    const close = async (): Promise<void> => {
      services.log.info({ drainSeconds: config.shutdownDrainSeconds }, 'closing')
      clearTimeout(comparing)
      // They end while requests are still served: what is left to do is in the rows. One that waits for the store for minutes is left behind.
      services.background.add(Promise.all(jobs.map(async job => await job.stop())))
      await delay(config.shutdownDrainSeconds * 1000)
      const deadline = setTimeout(() => app.server.closeAllConnections(), FINISH_TIMEOUT_MS)
      await app.close()
      clearTimeout(deadline)
      await metrics?.close()
      await closeServices(services)
      unlock()
    }
    return { url: `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`, services, ...(metrics && { metricsPort: metrics.port }), close: () => (closing ??= close()) }
  } catch (error) {
    await closeServices(services)
    throw error
  }
}

/** @throws {ConfigError} when another process serves the same SQLite file */
async function lockDatabase ({ database: { url } }: Config): Promise<() => void> {
  if (!url.startsWith('sqlite:') || url === 'sqlite::memory:') return () => {}
  const unlock = lockSqlite(url.slice('sqlite:'.length))
  if (!unlock) throw new ConfigError(['DATABASE_URL: another process serves this SQLite file already, and SQLite is for one; use postgres:// for several'])
  return unlock
}

/** The first requests are not kept waiting by the client that is loaded for it. */
const STORE_CHECK_DELAY_MS = 1_000

/** Says soon, not at the first upload, when the bucket cannot be reached or the clocks differ. */
function compareWithStore ({ objectStorage, config: { s3 }, log }: Services): void {
  objectStorage.isReachable(s3.bucket).then(isReachable => {
    if (!isReachable) log.warn({ bucket: s3.bucket }, 'the bucket does not answer: check S3_ENDPOINT, S3_BUCKET and the credentials')
  }, () => {})
}

/** Sweeps now and then, never twice at once, and at other moments than the other processes. */
function startSweeping (services: Services): { stop (): Promise<void> } {
  const { sweepIntervalSeconds } = services.config
  const stopping = new AbortController()
  const run = async (): Promise<void> => {
    if (sweepIntervalSeconds === 0) return
    while (!stopping.signal.aborted) {
      const jitter = 0.8 + Math.random() * 0.4
      await delay(sweepIntervalSeconds * 1000 * jitter, undefined, { signal: stopping.signal, ref: false }).catch(() => {})
      if (stopping.signal.aborted) return
      try {
        const report = await sweepUploads(services, stopping.signal)
        if (report.swept > 0) services.log.info(report, 'swept')
      } catch (error) {
        services.log.warn({ err: error }, 'sweeping failed; it will be tried again')
      }
    }
  }
  const running = run()
  return {
    async stop () {
      stopping.abort()
      await running
    }
  }
}

/** Ends the process when it is asked to: first gracefully, at the second signal at once. */
export function closeOnSignals (server: { close (): Promise<void> }): void {
  let isClosing = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (isClosing) process.exit(1)
      isClosing = true
      server.close().then(() => process.exit(0), error => {
        process.stderr.write(`presignd: ${(error as Error).message}\n`)
        process.exit(1)
      })
    })
  }
}
