import { setTimeout as delay } from 'node:timers/promises'
import type { Kysely } from 'kysely'
import type { Logger } from 'pino'
import type { Config } from './config.js'
import { openDatabase, sharedSecret } from './database/database.js'
import { isMigrated, migrateAt } from './database/migrate.js'
import type { Database } from './database/schema.js'
import { fetchText } from './events/fetch-text.js'
import { NO_EVENTS } from './files/file-events.js'
import { measureFiles } from './files/measure-files.js'
import { createFilesRepository, type FilesRepository } from './files/files-repository.js'
import { createInventory, type Inventory } from './files/inventory.js'
import { createAuditLog, createLog, type AuditLog } from './logs.js'
import { joinObjectStorages } from './object-storage/buckets.js'
import { createCloudFrontPresign } from './object-storage/cloudfront.js'
import type { ObjectStorage } from './object-storage/object-storage.js'
import { ADD_CACHE_RULES } from './object-storage/providers.js'
import { createS3ObjectStorage, type S3Options } from './object-storage/s3.js'
import { NO_METRICS, type Metrics, type StateOfThings } from './metrics/metrics.js'
import type { Prometheus } from './metrics/prometheus.js'
import { newId } from './new-id.js'
import { loadPolicies } from './policies/load-policies.js'
import type { BucketEntry, Policies } from './policies/policy.js'
import { createTicketsRepository, type TicketsRepository } from './tickets/tickets-repository.js'
import type { Tracing } from './tracing/tracing.js'
import { VERSION } from './version.js'
import { createOutbox, type Outbox } from './webhooks/outbox.js'
import { sendWebhook, systemLookup } from './webhooks/send-webhook.js'
import type { Webhooks } from './webhooks/webhooks.js'

/** Everything that a use case may need. Built once and passed on; a test passes another one. */
export interface Services {
  readonly config: Config
  readonly log: Logger
  readonly database: Kysely<Database>
  readonly files: FilesRepository
  readonly tickets: TicketsRepository
  readonly inventory: Inventory
  readonly objectStorage: ObjectStorage
  readonly policies: Policies
  /** The names in S3 of the policies file's buckets, by the names that policies use. */
  readonly buckets: ReadonlyMap<string, string>
  readonly webhooks: Webhooks
  /** Who did what to which file; null when nobody wants to know. */
  readonly audit: Logger | null
  readonly reopenAuditLog: AuditLog['reopen']
  readonly metrics: Metrics
  /** The page of the metrics, where there are any. */
  readonly prometheus: Prometheus | null
  /** Null when nobody wants to know what takes how long. */
  readonly tracing: Tracing | null
  /** Signs list cursors; the same for every process on one database. */
  readonly cursorSecret: Buffer
  /** Gets a document of AWS, as the certificates of SNS are. */
  readonly fetchText: (url: URL) => Promise<string>
  /** Work that no reply waits for; the process ends when it is done, or has had its time. */
  readonly background: Set<Promise<unknown>>
  now (): Date
  /** A new id that nobody can guess, and that sorts behind all earlier ones. */
  newId (): string
}

/** Standard Webhooks advises 15 to 30 seconds. */
const WEBHOOK_TIMEOUT_MS = 15_000

/**
 * Opens the database (and migrates it when configured), reads the policies and prepares the client of the store.
 * @throws {PolicyFileError} and whatever the database says when it cannot be reached
 */
export async function createServices (config: Config, log: Logger = createLog(config)): Promise<Services> {
  const { policies, buckets, webhooks } = loadPolicies(config.policiesFile, config)
  const tracing = config.tracing ? await createTracing(config, config.tracing.protocol, log) : null
  const database = openDatabase(config.database.url, { onError: (err, meaning) => log.warn({ err }, meaning), onQuery: tracing?.queryEnded })
  try {
    if (config.database.migrateAtStart) {
      const migrations = await migrateAt(config.database.url, database)
      if (migrations.length > 0) log.info({ migrations }, 'migrated the database')
    } else if (!await isMigrated(database).catch((cause: unknown) => { throw new Error('The database of DATABASE_URL does not answer', { cause }) })) {
      throw new Error('The database lacks migrations: run "presignd migrate", or set DATABASE_MIGRATE=true')
    }
    const now = (): Date => new Date()
    const { audit, reopen: reopenAuditLog } = createAuditLog(config.auditLog, log)
    const outbox = createOutbox(database, webhooks, newId)
    // Reads go on in a database that takes no writes.
    await outbox.see(now()).catch((err: unknown) => { log.warn({ err }, 'webhooks could not be announced to other processes; the delivery tries again') })
    const events = webhooks.length > 0 ? outbox : NO_EVENTS
    const prometheus = config.metricsPort === undefined ? null : await createMetrics(async () => await measureState(database, outbox, now()), now)
    const metrics = prometheus ?? NO_METRICS
    return {
      config,
      log,
      database,
      files: createFilesRepository(database, {
        ...events,
        committed (type, file) {
          events.committed(type, file)
          // A file whose object is missing is ready as before: no upload has become that again.
          if (type !== 'file.missing') metrics.upload(file.policy, file.status)
          audit?.info({ what: type, owner: file.owner, tenant: file.tenant, files: [file.id], policy: file.policy, outcome: 'ok' })
        }
      }),
      tickets: createTicketsRepository(database),
      inventory: createInventory(database),
      objectStorage: await createObjectStorage(config, buckets, log, metrics, tracing),
      policies,
      buckets: new Map([...buckets].map(([name, { bucket }]) => [name, bucket])),
      webhooks: {
        endpoints: new Map(webhooks.map(endpoint => [endpoint.name, endpoint])),
        outbox,
        send: createWebhookSender(tracing)
      },
      audit,
      reopenAuditLog,
      metrics,
      prometheus,
      tracing,
      cursorSecret: await sharedSecret(database, 'cursor'),
      fetchText,
      background: new Set(),
      now,
      newId
    }
  } catch (error) {
    await database.destroy()
    throw error
  }
}

/** For what no reply waits for; a fault goes to the log. */
export function runInBackground ({ background, log }: Services, work: Promise<unknown>): void {
  const done = work.catch((error: unknown) => log.warn({ err: error }, 'work in the background failed')).finally(() => background.delete(done))
  background.add(done)
}

/** How long work that no reply waits for may still take when the process ends. */
export const BACKGROUND_TIMEOUT_MS = 5_000

export async function closeServices (services: Services): Promise<void> {
  // What takes longer than this is taken up by another process once its lease has run out.
  await Promise.race([Promise.allSettled(services.background), delay(BACKGROUND_TIMEOUT_MS, undefined, { ref: false })])
  services.objectStorage.close()
  await services.database.destroy()
  await services.tracing?.close()
}

/** Loaded only where it is wanted. */
async function createMetrics (measure: () => Promise<StateOfThings>, now: () => Date): Promise<Prometheus> {
  const { createPrometheus } = await import('./metrics/prometheus.js')
  return createPrometheus(measure, now)
}

/** Loaded only where it is wanted. */
async function createTracing ({ database: { url } }: Config, protocol: 'http/protobuf' | 'http/json', log: Logger): Promise<Tracing> {
  const { createOpenTelemetry } = await import('./tracing/open-telemetry.js')
  return createOpenTelemetry({
    protocol,
    version: VERSION,
    databaseSystem: url.startsWith('sqlite:') ? 'sqlite' : 'postgresql',
    onOutage (error) {
      if (error) log.warn({ reason: error.message }, 'the collector of traces takes no spans: they are lost, and nothing else')
      else log.info('the collector of traces takes spans again')
    }
  })
}

function createWebhookSender (tracing: Tracing | null): Webhooks['send'] {
  const options = { timeoutMs: WEBHOOK_TIMEOUT_MS, lookup: systemLookup }
  if (!tracing) return async (...post) => await sendWebhook(...post, options)
  return async (endpoint, headers, body) => await tracing.traceDelivery('webhook', { 'presignd.webhook': endpoint.name }, async traceHeaders => await sendWebhook(endpoint, { ...headers, ...traceHeaders }, body, options))
}

async function measureState (database: Kysely<Database>, outbox: Outbox, now: Date): Promise<StateOfThings> {
  const { oldestCheckAt, ...files } = await measureFiles(database)
  const secondsSince = (milliseconds: number | null): number => milliseconds === null ? 0 : Math.max(0, (now.getTime() - milliseconds) / 1000)
  return { files, sweeperLagSeconds: secondsSince(oldestCheckAt), outboxOldestSeconds: secondsSince(await outbox.findOldest()) }
}

async function createObjectStorage (config: Config, buckets: ReadonlyMap<string, BucketEntry>, log: Logger, metrics: Metrics, tracing: Tracing | null): Promise<ObjectStorage> {
  const cdn = config.cloudFront && await createCloudFrontPresign(config.cloudFront)
  const onClockSkew = (seconds: number): void => log.warn({ seconds }, 'the clock of this server and that of the object storage differ: set it by NTP')
  const aroundCall = tracing ? async <T>(operation: string, call: () => Promise<T>): Promise<T> => await tracing.traceCall(`S3.${operation}`, { 'rpc.system': 'aws-api', 'rpc.service': 'S3', 'rpc.method': operation }, call) : undefined
  // The distribution is in front of the bucket of the environment alone.
  const open = (entry?: BucketEntry): ObjectStorage => createS3ObjectStorage({ ...s3Options(config, entry), ...(!entry && { cdn }), onClockSkew, onCall: metrics.objectStorage, onClamp: metrics.urlTtlClamped, aroundCall })
  return joinObjectStorages(open(), new Map([...buckets.values()].map(entry => [entry.bucket, open(entry)])))
}

/** How the bucket of the environment is reached, or one of the policies file. */
export function s3Options ({ s3 }: Config, entry?: BucketEntry): S3Options {
  const { region, endpoint, publicEndpoint, forcePathStyle, signer } = s3
  const ofStore = { bindsPayload: !s3.checksums, addsCacheRules: ADD_CACHE_RULES.has(s3.provider), signer }
  if (!entry) return { region, endpoint, publicEndpoint, forcePathStyle, ...ofStore }
  return {
    region: entry.region ?? region,
    endpoint: entry.endpoint,
    publicEndpoint: entry.publicEndpoint,
    forcePathStyle: entry.forcePathStyle ?? forcePathStyle,
    ...ofStore,
    ...(entry.profile !== undefined && { profile: entry.profile })
  }
}
