import type {} from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { stringify } from 'yaml'

export interface OpenapiOptions {
  readonly version: string
  /** What would be made of the routes, where it is known already. */
  readonly description: { readonly json: string, readonly yaml: string } | undefined
  /** Whether /docs shows the API. */
  readonly docsUi: boolean
  /** What the service itself calls: https://spec.openapis.org/oas/v3.1.0#oasWebhooks */
  readonly webhooks: Readonly<Record<string, object>>
}

/** Serves the description that is made from the routes' own schemas. Register it before the routes. */
export const openapi = fastifyPlugin(async (app: FastifyInstance, { version, description, docsUi, webhooks }: OpenapiOptions) => {
  // /docs makes its own of it.
  if (description === undefined || docsUi) {
    await app.register((await import('@fastify/swagger')).default, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'presignd',
          version,
          description: 'Signs S3 uploads, checks them, remembers them. The bytes go straight between the client and the bucket.\n\nAll JSON; times are ISO 8601 UTC, sizes are bytes, durations are seconds. Whatever is not a success is a problem of RFC 9457; its `code` is what to tell errors apart by.',
          license: { name: 'MIT', identifier: 'MIT' }
        },
        servers: [{ url: '/', description: 'This service.' }],
        tags: [
          { name: 'uploads', description: 'From asking for a URL to a verified file.' },
          { name: 'downloads', description: 'URLs to read files with.' },
          { name: 'files', description: 'What is remembered of files.' },
          { name: 'policies', description: 'What may be uploaded.' },
          { name: 'uppy', description: 'For Uppy\'s clients, unchanged: `endpoint` of @uppy/aws-s3 5 and `companionEndpoint` of 6. Under /uppy/{policy} with the usual token, or where configured a cookie; under /uppy/tickets/{ticket} with an upload ticket.' },
          { name: 'webhooks', description: 'What is told to other services, and what became of it.' },
          { name: 'events', description: 'For S3 servers: hints that something has arrived.' },
          { name: 'health', description: 'For load balancers and orchestrators.' }
        ],
        webhooks: { ...webhooks },
        security: [{ bearer: [] }],
        components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'The token that the application\'s users have already.' }, events: { type: 'http', scheme: 'bearer', description: 'EVENTS_TOKEN, which only the S3 server has.' } } }
      },
      refResolver: { buildLocalReference: json => String(json.$id) }
    })
  }

  const hidden = { config: { authentication: 'none' as const }, schema: { hide: true } }
  app.get('/openapi.json', hidden, async (_request, reply) => reply.type('application/json; charset=utf-8').send(description?.json ?? JSON.stringify(app.swagger())))
  app.get('/openapi.yaml', hidden, async (_request, reply) => reply.type('application/yaml').send(description?.yaml ?? renderOpenapi(app)))

  if (docsUi) {
    const { default: swaggerUi } = await import('@fastify/swagger-ui')
    await app.register(async scope => {
      scope.addHook('onRoute', route => { route.config = { ...route.config, authentication: 'none' } })
      await scope.register(swaggerUi, { routePrefix: '/docs', staticCSP: true })
    })
  }
}, { name: 'openapi' })

/** The committed `openapi.yaml`, byte for byte. */
export function renderOpenapi (app: FastifyInstance): string {
  return stringify(app.swagger(), { lineWidth: 0, aliasDuplicateObjects: false })
}
