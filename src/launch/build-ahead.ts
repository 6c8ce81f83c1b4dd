import type { Ajv } from 'ajv'
import standalone from 'ajv/dist/standalone/index.js'
import fastJsonStringify from 'fast-json-stringify'
import { buildApp } from '../app.js'
import { environmentRules, loadConfig } from '../config.js'
import { NO_METRICS } from '../metrics/metrics.js'
import { renderOpenapi } from '../plugins/openapi.js'
import { policyFileRules } from '../policies/load-policies.js'
import { rulesAjv, type RulesName } from '../rules.js'
import { schemaKey, withoutChoices, type RouteSchema } from '../schema-compilers.js'
import type { Services } from '../services.js'
import { strictAjv } from '../strict-ajv.js'

export interface BuiltAhead {
  /**
   * The schemas of all routes as programs, by `schemaKey`, and by their names the rules of what an operator writes. Each is a module of CommonJS that exports what is compiled, and
   * requires parts of the two packages that made it.
   */
  readonly programs: ReadonlyMap<string, string>
  readonly description: { readonly json: string, readonly yaml: string }
}

/** What the service would make of its routes when it is first asked, each in a turn of the event loop that is too long. */
export async function buildAhead (): Promise<BuiltAhead> {
  const config = loadConfig({ S3_BUCKET: 'bucket', JWT_SECRET: 'a secret that signs nothing: only the routes are wanted', JWT_AUDIENCE: 'none', POLICIES_FILE: 'policies.example.yaml', LOG_LEVEL: 'silent' })
  // Nobody is asked, so nobody has to answer.
  const app = await buildApp({ config, metrics: NO_METRICS } as unknown as Services)
  await app.ready()
  const programs = new Map(app.routeSchemas.map(route => [schemaKey(route), compile(route)]))
  const rules: ReadonlyArray<[RulesName, rules: object, coerceTypes: boolean]> = [['environment', environmentRules(), true], ['policies', policyFileRules(), false]]
  for (const [name, schema, coerceTypes] of rules) programs.set(name, compileCheck(rulesAjv({ coerceTypes, isStandalone: true }), schema))
  const description = { json: JSON.stringify(app.swagger()), yaml: renderOpenapi(app) }
  await app.close()
  return { programs, description }
}

function compile (route: RouteSchema): string {
  if (route.use === 'write') return fastJsonStringify(withoutChoices(route.schema), { schema: { ...route.shared }, mode: 'standalone' }) as unknown as string
  const { coerceTypes, allErrors } = route
  return compileCheck(strictAjv({ coerceTypes, allErrors, isStandalone: true }), route.schema as object)
}

function compileCheck (ajv: Ajv, schema: object): string {
  return standalone.default(ajv, ajv.compile(schema))
}
