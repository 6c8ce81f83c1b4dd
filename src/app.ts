import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { BlockList, isIP } from 'node:net'
import cors, { type FastifyCorsOptions, type FastifyCorsOptionsDelegateCallback } from '@fastify/cors'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import { description } from './built-ahead.js'
import { isMigrated } from './database/migrate.js'
import { deletionRoutes } from './deletions/routes.js'
import { downloadRoutes } from './downloads/routes.js'
import { eventRoutes } from './events/routes.js'
import { fileRoutes } from './files/routes.js'
import { FileBody } from './files/schemas.js'
import { auditLog } from './plugins/audit-log.js'
import { authentication } from './plugins/authentication.js'
import { cohorts } from './plugins/cohorts.js'
import { errorCatalogue } from './plugins/error-catalogue.js'
import { clientErrorHandler, errorHandler, sendProblem } from './plugins/error-handler.js'
import { health } from './plugins/health.js'
import { openapi } from './plugins/openapi.js'
import { Problem } from './problem-schemas.js'
import { addressRateLimit, userRateLimit } from './plugins/rate-limits.js'
import { requestLog } from './plugins/request-log.js'
import { requestRules } from './plugins/request-rules.js'
import { requestSpans } from './plugins/request-spans.js'
import { securityHeaders } from './plugins/security-headers.js'
import { policyRoutes } from './policies/routes.js'
import { PolicyBody } from './policies/schemas.js'
import type { Config } from './config.js'
import { lazyChild } from './logs.js'
import { createSchemaCompilers, type RouteSchema } from './schema-compilers.js'
import type { Services } from './services.js'
import { findTicketUser } from './tickets/find-ticket-user.js'
import { ticketRoutes } from './tickets/routes.js'
import { uploadRoutes } from './uploads/routes.js'
import { MultipartInstructions, PartInstructions, PostInstructions, PutInstructions } from './uploads/schemas.js'
import { uppyRoutes } from './uppy/routes.js'
import { usageRoutes } from './usage/routes.js'
import { VERSION } from './version.js'
import { webhookRoutes } from './webhooks/routes.js'
import { describeWebhooks, FileEvent } from './webhooks/schemas.js'

export interface AppOptions {
  /** While true, /readyz fails and connections are closed after their reply. */
  readonly isDraining?: () => boolean
  /** Routes of development, registered last; production has none. */
  readonly development?: (app: FastifyInstance) => Promise<void>
}

declare module 'fastify' {
  interface FastifyInstance {
    /** By what the routes check and write, known when the app is ready. */
    readonly routeSchemas: readonly RouteSchema[]
  }
}

/** Files never come this way: the largest legal body is 32 values of metadata. */
const BODY_LIMIT_BYTES = 64 * 1024

/** The whole service as a Fastify app: the list of its plugins, then of its features. */
export async function buildApp (services: Services, { isDraining = () => false, development }: AppOptions = {}): Promise<FastifyInstance> {
  const { config, now } = services
  const schemaCompilers = createSchemaCompilers()
  const app = fastify({
    loggerInstance: services.log as FastifyBaseLogger,
    childLoggerFactory: (_parent, bindings) => lazyChild(services.log, bindings) as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy: config.trustProxy.length > 0 ? [...config.trustProxy] : false,
    genReqId: requestIds(config.trustProxy),
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: 30_000,
    // A request without one is refused as a problem.
    http: { requireHostHeader: false },
    return503OnClosing: false,
    exposeHeadRoutes: false,
    frameworkErrors: sendProblem,
    clientErrorHandler,
    schemaController: schemaCompilers.controller,
    // Uppy's clients name an upload by S3's id for it, which some stores make several hundred characters long.
    routerOptions: { maxParamLength: 1024 },
    rewriteUrl: forgiveSlashes
  }).withTypeProvider<TypeBoxTypeProvider>()
  app.decorate('routeSchemas', schemaCompilers.used)
  acceptJsonAlone(app)

  await app.register(cohorts)
  await app.register(errorHandler)
  await app.register(auditLog, { audit: services.audit })
  if (services.tracing) await app.register(requestSpans, { startRequest: services.tracing.startRequest })
  await app.register(requestLog, { isDraining, onRequest: services.metrics.request })
  await app.register(securityHeaders)
  await app.register(requestRules)
  await app.register(cors, corsOptions(config))
  await app.register(addressRateLimit, config.rateLimits)
  await app.register(authentication, {
    ...config.jwt,
    now,
    findTicketUser: async ticket => await findTicketUser(services, ticket),
    ...(config.uppyCookie !== undefined && { cookie: { name: config.uppyCookie, origins: config.corsOrigins } })
  })
  await app.register(userRateLimit, config.rateLimits)
  await app.register(errorCatalogue)
  await app.register(openapi, { version: VERSION, description, docsUi: config.docsUi, webhooks: describeWebhooks() })
  // What routes refer to by name, and what openapi.yaml lists as components.
  for (const schema of [Problem, FileBody, PutInstructions, PostInstructions, PartInstructions, MultipartInstructions, PolicyBody, FileEvent]) app.addSchema(schema)

  await app.register(health, {
    isDatabaseReady: async () => await isMigrated(services.database),
    isBucketReachable: async () => await services.objectStorage.isReachable(config.s3.bucket),
    areKeysAvailable: app.areKeysAvailable,
    now: services.now,
    isDraining
  })
  await app.register(fileRoutes, { services })
  await app.register(policyRoutes, { services })
  await app.register(uploadRoutes, { services })
  await app.register(ticketRoutes, { services })
  await app.register(uppyRoutes, { services })
  await app.register(downloadRoutes, { services })
  await app.register(deletionRoutes, { services })
  await app.register(usageRoutes, { services })
  await app.register(webhookRoutes, { services })
  await app.register(eventRoutes, { services })
  if (development) await app.register(development)
  return app
}

/** Cookies count on the addresses for Uppy alone, and so may they be sent from other origins there alone. */
function corsOptions ({ corsOrigins, uppyCookie }: Config): FastifyCorsOptions | { delegator: FastifyCorsOptionsDelegateCallback } {
  const options = {
    origin: [...corsOrigins],
    methods: ['GET', 'POST', 'PATCH', 'DELETE'],
    allowedHeaders: ['authorization', 'content-type', 'idempotency-key', 'x-request-id'],
    exposedHeaders: ['etag', 'location', 'link', 'retry-after', 'x-request-id', 'idempotency-replayed', 'ratelimit-limit', 'ratelimit-remaining', 'ratelimit-reset'],
    maxAge: 600
  }
  if (uppyCookie === undefined) return options
  const withCookies = { ...options, credentials: true }
  return {
    delegator (request, callback) {
      const mayHaveCookie = request.raw.url?.startsWith('/uppy/') && corsOrigins.includes(request.headers.origin ?? '')
      callback(null, mayHaveCookie ? withCookies : options)
    }
  }
}

/** Uppy 6 keeps a slash at the end of its endpoint and asks for `//s3/…`: forgiven there, and nowhere else. */
function forgiveSlashes ({ url = '/' }: { readonly url?: string }): string {
  if (!url.includes('//')) return url
  const [path = ''] = url.split('?', 1)
  return /^\/+uppy\//.test(path) ? path.replace(/\/{2,}/g, '/') + url.slice(path.length) : url
}

/** One parser, so that no body reaches a handler unvalidated. An empty body is as good as none. */
function acceptJsonAlone (app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') return done(null, {})
    return parseJson(request, body as string, done)
  })
  app.addHook('preValidation', (request, _reply, done) => {
    // A POST without any body, as `curl -X POST` sends it, asks for the defaults.
    if (request.body === undefined && request.routeOptions.schema?.body !== undefined) request.body = {}
    // Reading a large one took its turn of the event loop.
    if (Number(request.headers['content-length'] ?? 0) > BODY_LIMIT_BYTES) setImmediate(done)
    else done()
  })
}

/** A request keeps the id that a trusted proxy gave it; everyone else's is made here. */
function requestIds (trustProxy: readonly string[]): (request: IncomingMessage) => string {
  const proxies = new BlockList()
  for (const range of trustProxy) {
    const [address = '', prefix] = range.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (prefix === undefined) proxies.addAddress(address, family)
    else proxies.addSubnet(address, Number(prefix), family)
  }
  return request => {
    const given = request.headers['x-request-id']
    if (typeof given !== 'string' || !/^[\w.:-]{1,64}$/.test(given)) return randomUUID()
    const from = request.socket.remoteAddress ?? ''
    return isIP(from) !== 0 && proxies.check(from, isIP(from) === 6 ? 'ipv6' : 'ipv4') ? given : randomUUID()
  }
}
