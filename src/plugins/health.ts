import { setTimeout as delay } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { ApiError } from '../errors.js'
import { problemResponses } from '../problem-schemas.js'
import { StringEnum } from '../string-enum.js'

export interface HealthOptions {
  /** Rejects when the database does not answer; false when migrations are missing. */
  readonly isDatabaseReady: () => Promise<boolean>
  readonly isBucketReachable: () => Promise<boolean>
  /** Null where tokens are checked with a shared secret. */
  readonly areKeysAvailable: (() => boolean) | null
  readonly isDraining: () => boolean
  readonly now: () => Date
}

/** How long an answer of the store is kept: probes come often and from many places. */
const BUCKET_ANSWER_MS = 10_000
/** How long a probe waits for the store. Kubernetes gives up after a second unless it is told otherwise. */
const BUCKET_PATIENCE_MS = 500

const Health = Type.Object({ status: StringEnum(['ok']) }, { $id: 'Health' })
const Readiness = Type.Object({
  status: StringEnum(['ok']),
  detail: Type.Object({ database: StringEnum(['ok']), bucket: StringEnum(['ok', 'unreachable']), keys: Type.Optional(StringEnum(['ok', 'unavailable'])) })
}, { $id: 'Readiness' })

/**
 * `/livez`: this process turns. `/readyz`: it can do its work. An unreachable bucket, or an issuer whose keys are not
 * at hand, is told and does not fail it, since an outage that all replicas share must not take them all out of service.
 */
export const health = fastifyPlugin(async (app: FastifyInstance, { isDatabaseReady, isBucketReachable, areKeysAvailable, isDraining, now }: HealthOptions) => {
  app.addSchema(Health)
  app.addSchema(Readiness)
  let asked: { readonly at: number, readonly answer: Promise<void> } | undefined
  let bucket: 'ok' | 'unreachable' = 'unreachable'

  /** As the store says, or as it said last when it does not say so at once. */
  async function bucketState (): Promise<typeof bucket> {
    const at = now().getTime()
    if (!asked || at - asked.at > BUCKET_ANSWER_MS) asked = { at, answer: isBucketReachable().then(isReachable => { bucket = isReachable ? 'ok' : 'unreachable' }) }
    const patience = new AbortController()
    await Promise.race([asked.answer.finally(() => patience.abort()), delay(BUCKET_PATIENCE_MS, undefined, { signal: patience.signal }).catch(() => {})])
    return bucket
  }

  app.get('/livez', {
    config: { authentication: 'none' },
    schema: { operationId: 'getLiveness', tags: ['health'], summary: 'Is the process alive?', description: 'Asks nothing but the process itself.', security: [], response: { 200: { description: 'It is.', ...Type.Ref('Health') }, ...problemResponses([], { isAuthenticated: false }) } }
  }, async () => ({ status: 'ok' as const }))

  app.get('/readyz', {
    config: { authentication: 'none' },
    schema: { operationId: 'getReadiness', tags: ['health'], summary: 'Can the process do its work?', description: 'The database answers and is migrated, and the process is not shutting down. The bucket, and the keys of the issuer where there is one, are told as details and do not fail it.', security: [], response: { 200: { description: 'It can.', ...Type.Ref('Readiness') }, ...problemResponses([], { isAuthenticated: false }) } }
  }, async () => {
    if (isDraining()) throw new ApiError('NOT_READY', 'The process is shutting down.')
    const isReady = await isDatabaseReady().catch((cause: unknown) => { throw new ApiError('NOT_READY', 'The database does not answer.', { cause, retryAfterSeconds: 2 }) })
    if (!isReady) throw new ApiError('NOT_READY', 'The database lacks migrations: run "presignd migrate".')
    return { status: 'ok' as const, detail: { database: 'ok' as const, bucket: await bucketState(), ...(areKeysAvailable && { keys: areKeysAvailable() ? 'ok' as const : 'unavailable' as const }) } }
  })
}, { name: 'health' })
