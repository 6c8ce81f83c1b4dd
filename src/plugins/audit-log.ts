import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyRequest {
    /** The files that a request has made, for the audit log; those that its address names are known anyway. */
    auditedFiles: readonly string[] | null
    /** What a request was refused with. */
    problemCode: string | null
  }
}

export interface AuditLogOptions { readonly audit: Pick<FastifyBaseLogger, 'info'> | null }

/**
 * One line for every request that needs a token, refused ones too: who, what, which files, under which policy, and
 * what came of it. No address, no header, no URL.
 * @see https://owasp.org/www-project-application-security-verification-standard/ for what such a log should hold
 */
export const auditLog = fastifyPlugin(async (app: FastifyInstance, { audit }: AuditLogOptions) => {
  app.decorateRequest('auditedFiles', null)
  app.decorateRequest('problemCode', null)
  if (!audit) return
  app.addHook('onResponse', (request, reply, done) => {
    const { config, schema } = request.routeOptions
    const what = (schema as { readonly operationId?: string } | undefined)?.operationId
    if (what !== undefined && config.authentication !== 'none') {
      const { policy: mounted } = request.params as { readonly policy?: string }
      const { policy = mounted } = (request.body ?? {}) as { readonly policy?: unknown }
      audit.info({
        what,
        ...(request.user && { owner: request.user.owner, tenant: request.user.tenant }),
        files: findFiles(request),
        ...(typeof policy === 'string' && isKnown(request, reply.statusCode) && { policy }),
        outcome: request.problemCode ?? 'ok',
        status: reply.statusCode,
        ip: request.ip,
        requestId: request.id
      })
    }
    done()
  })
}, { name: 'audit-log' })

/** Whether there is such a policy, and not just any text that a client has put there: the request was not refused before that was looked at, or for it. */
function isKnown ({ user, problemCode }: FastifyRequest, status: number): boolean {
  return Boolean(user) && status !== 400 && problemCode !== 'POLICY_NOT_FOUND'
}

/** What a client may have put there besides is its own matter, and may be secret. */
const FILE_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** The files that a request has made, or else the one that it names; what else has an id is no file. */
function findFiles ({ auditedFiles, params, body, routeOptions: { url = '' } }: FastifyRequest): readonly string[] {
  if (auditedFiles) return auditedFiles
  const { id, fileId = /^\/(files|uploads)\/:id/.test(url) ? id : undefined } = params as { readonly id?: string, readonly fileId?: string }
  const { fileId: asked = fileId } = (body ?? {}) as { readonly fileId?: unknown }
  return typeof asked === 'string' && FILE_ID.test(asked) ? [asked] : []
}
