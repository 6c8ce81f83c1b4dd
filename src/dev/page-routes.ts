import { readdir, readFile } from 'node:fs/promises'
import { extname, join, resolve } from 'node:path'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type {} from '@fastify/swagger'

export interface DevUser {
  readonly sub: string
  readonly name: string
}

export interface PageRoutesOptions {
  /** The accounts one may sign in as without a password: this is why the page exists in development only. */
  readonly users: readonly DevUser[]
  readonly issueToken: (sub: string) => Promise<string> | string
  /** Scheme, host and port of the presigned URLs: the one foreign origin that the page may talk to. */
  readonly s3Origin: string
}

// From the project's folder: in development this code runs as one bundled file elsewhere.
const FOLDER = resolve('src/dev/page')
const CLIENT = resolve('src/client/upload.ts')
const CONTENT_TYPES: ReadonlyMap<string, string> = new Map([
  ['.html', 'text/html; charset=utf-8'],
  ['.css', 'text/css; charset=utf-8'],
  ['.js', 'text/javascript; charset=utf-8']
])

/** Open to everyone, and no part of the API. */
const OPEN = { schema: { hide: true }, config: { authentication: 'none' } } as const

/** Serves the page that shows the service at work, and the tokens of its demo users. */
export async function pageRoutes (app: FastifyInstance, options: PageRoutesOptions): Promise<void> {
  const contentSecurityPolicy = renderContentSecurityPolicy(options.s3Origin)

  // Read each time, so that an edit shows on reload.
  const serve = (path: string, contentType: string, read: () => Promise<string>): void => {
    app.get(path, OPEN, async (_request, reply) => {
      const text = await read()
      return await neverStored(reply)
        .header('content-security-policy', contentSecurityPolicy)
        .type(contentType)
        .send(text)
    })
  }
  for (const name of await readdir(FOLDER)) {
    const contentType = CONTENT_TYPES.get(extname(name))
    if (contentType !== undefined) serve(pathOf(name), contentType, async () => await readFile(join(FOLDER, name), 'utf8'))
  }
  serve('/page/client.js', 'text/javascript; charset=utf-8', bundleClient)

  app.get('/dev/users', OPEN, async (_request, reply) => {
    const data = await Promise.all(options.users.map(async ({ sub, name }) => ({
      sub, name, token: await options.issueToken(sub)
    })))
    return await neverStored(reply).send({ data })
  })
}

/** What browsers get as `presignd/client`. The compiler is loaded with the first page: whoever opens none does without. */
async function bundleClient (): Promise<string> {
  const { buildSync } = await import('esbuild')
  const { outputFiles } = buildSync({ entryPoints: [CLIENT], bundle: true, format: 'esm', target: 'es2022', write: false })
  return outputFiles.map(({ text }) => text).join('')
}

/** The page's entry is at the top, the modules it imports below. */
function pathOf (name: string): string {
  if (name === 'index.html') return '/'
  return name === 'page.css' || name === 'page.js' ? `/${name}` : `/page/${name}`
}

function neverStored (reply: FastifyReply): FastifyReply {
  return reply.header('cache-control', 'no-store')
}

function renderContentSecurityPolicy (s3Origin: string): string {
  const origin = new URL(s3Origin).origin
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    `connect-src 'self' ${origin}`,
    `img-src 'self' blob: data: ${origin}`,
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'none'"
  ].join('; ')
}
