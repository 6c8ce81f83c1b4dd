import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import helmet from 'helmet'

const configured = helmet({
  // A page of another origin may show <img src="…/downloads/{fileId}">; who may read what is decided by tokens.
  crossOriginResourcePolicy: { policy: 'cross-origin' },
  // These six are for pages that run scripts, and for browsers that are gone.
  crossOriginOpenerPolicy: false,
  originAgentCluster: false,
  xDnsPrefetchControl: false,
  xDownloadOptions: false,
  xPermittedCrossDomainPolicies: false,
  xXssProtection: false,
  contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } }
})

/** The headers that tell browsers to take nothing here for a page. They are the same for every reply, so they are made once. */
export const securityHeaders = fastifyPlugin(async (app: FastifyInstance) => {
  const reply = new ServerResponse(new IncomingMessage(new Socket()))
  await new Promise<void>((resolve, reject) => { configured(reply.req, reply, error => { if (error instanceof Error) reject(error); else resolve() }) })
  const headers = { ...reply.getHeaders() } as Record<string, string>
  app.addHook('onRequest', (_request, reply, done) => {
    reply.headers(headers)
    done()
  })
}, { name: 'security-headers' })
