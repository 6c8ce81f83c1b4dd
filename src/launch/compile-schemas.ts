import standalone from 'ajv/dist/standalone/index.js'
import fastJsonStringify from 'fast-json-stringify'
import { buildApp } from '../app.js'
import { loadConfig } from '../config.js'
import { NO_METRICS } from '../metrics/metrics.js'
import { schemaKey, withoutChoices, type RouteSchema } from '../schema-compilers.js'
import type { Services } from '../services.js'
import { strictAjv } from '../strict-ajv.js'

/**
 * The schemas of all routes as programs, by `schemaKey`. Each is a module of CommonJS that exports what is compiled, and
 * requires parts of the two packages that made it.
 */
export async function compileSchemas (): Promise<ReadonlyMap<string, string>> {
  const config = loadConfig({ S3_BUCKET: 'bucket', JWT_SECRET: 'a secret that signs nothing: only the routes are wanted', JWT_AUDIENCE: 'none', POLICIES_FILE: 'policies.example.yaml', LOG_LEVEL: 'silent' })
  // Nobody is asked, so nobody has to answer.
  const app = await buildApp({ config, metrics: NO_METRICS } as unknown as Services)
  await app.ready()
  const programs = new Map(app.routeSchemas.map(route => [schemaKey(route), compile(route)]))
  await app.close()
  return programs
}

function compile (route: RouteSchema): string {
  if (route.use === 'reply') return fastJsonStringify(withoutChoices(route.schema), { schema: { ...route.shared }, mode: 'standalone' }) as unknown as string
  const ajv = strictAjv({ coerceTypes: route.use === 'text', isStandalone: true })
  return standalone.default(ajv, ajv.compile(route.schema as object))
}
