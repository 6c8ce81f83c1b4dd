import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { errors, remedies, type ErrorCode } from '../errors.js'
import { ERROR_CATALOGUE } from '../problem-schemas.js'

/** Serves the page that the `type` of every problem leads to: what its code means and what to do about it. */
export const errorCatalogue = fastifyPlugin(async (app: FastifyInstance) => {
  const page = renderPage()
  app.get(ERROR_CATALOGUE, { config: { authentication: 'none' }, schema: { hide: true } }, async (_request, reply) => reply.type('text/html; charset=utf-8').send(page))
}, { name: 'error-catalogue' })

function renderPage (): string {
  const sections = (Object.keys(errors) as ErrorCode[]).map(code => `<h2 id="${code}">${code}</h2>
<p>${errors[code].status}: ${errors[code].title}.</p>
<p>${remedies[code].replaceAll('<', '&lt;').replaceAll(/`([^`]+)`/g, '<code>$1</code>')}</p>`)
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Errors of presignd</title>
<h1>Errors</h1>
${sections.join('\n')}
</html>
`
}
