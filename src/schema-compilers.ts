import { createHash } from 'node:crypto'
import type { FastifySchema, FastifySchemaCompiler, FastifySerializerCompiler, FastifyServerOptions } from 'fastify'
import fastJsonStringify, { type Schema } from 'fast-json-stringify'
import { compiledSchemas } from './built-ahead.js'
import { strictAjv } from './strict-ajv.js'

/** A schema of a route, and what is done by it. Texts are read as numbers where `coerceTypes` says so, and the first error ends a check but for `allErrors`. */
export type RouteSchema =
  | { readonly use: 'check', readonly schema: unknown, readonly coerceTypes: boolean, readonly allErrors: boolean }
  | { readonly use: 'write', readonly schema: unknown, readonly shared: Readonly<Record<string, Schema>> }

export type Check = ReturnType<ReturnType<typeof strictAjv>['compile']>
export type Write = (data: unknown) => string

/**
 * Fastify would drop unknown properties and turn texts into numbers; here only query strings are read as numbers.
 * What the build has not compiled is compiled when it is first needed: all of it takes longer than everything else at the start.
 * @returns `used` grows with what was asked for
 */
export function createSchemaCompilers (): { readonly controller: NonNullable<FastifyServerOptions['schemaController']>, readonly used: readonly RouteSchema[] } {
  const used: RouteSchema[] = []

  /** What is made of a schema, which is known when it is first asked for. */
  function find<Compiled extends Check | Write> (route: RouteSchema, make: () => Compiled): () => Compiled {
    used.push(route)
    return once(() => compiledSchemas[schemaKey(route)]?.() as Compiled | undefined ?? make())
  }

  function buildValidator (): FastifySchemaCompiler<FastifySchema> {
    return ({ schema, httpPart }) => {
      const coerceTypes = httpPart !== 'body'
      const checkBy = (allErrors: boolean) => find<Check>({ use: 'check', schema, coerceTypes, allErrors }, () => strictAjv({ coerceTypes, allErrors }).compile(schema))
      const first = checkBy(false)
      const all = checkBy(true)
      return data => {
        if (first()(data) === true) return true
        const failed = isSmall(data) && all()(data) !== true ? all() : first()
        return { error: failed.errors ?? [] }
      }
    }
  }

  function buildSerializer (shared: Record<string, Schema>): FastifySerializerCompiler<FastifySchema> {
    return ({ schema, httpStatus = '' }) => {
      // Problems are written by the error handler.
      if (/^[45]/.test(httpStatus)) return JSON.stringify
      const write = find<Write>({ use: 'write', schema, shared }, () => fastJsonStringify(withoutChoices(schema), { schema: shared }))
      return data => write()(data)
    }
  }

  // Fastify's types know only of its own two compilers here.
  return { used, controller: { compilersFactory: { buildValidator, buildSerializer } } as unknown as NonNullable<FastifyServerOptions['schemaController']> }
}

/** The same for the same schema with the same use. */
export function schemaKey (route: RouteSchema): string {
  return createHash('sha256').update(JSON.stringify(route)).digest('base64url')
}

/**
 * A value with a choice of schemas would be validated against each of them, at every reply, to find the one to write
 * it by. Those values are built field by field: they are written as they are.
 */
export function withoutChoices (schema: unknown): Schema {
  return JSON.parse(JSON.stringify(schema, (_key, value: { oneOf?: unknown } | null) => value?.oneOf === undefined ? value : {})) as Schema
}

/** Of more values than these, the first error is told: tens of thousands of errors would take longer than anything that is right. */
const MAX_VALUES = 1000

function isSmall (data: unknown): boolean {
  const known = [data]
  for (const value of known) {
    const values = typeof value === 'object' && value !== null ? Object.values(value) as unknown[] : []
    if (known.length + values.length > MAX_VALUES) return false
    known.push(...values)
  }
  return true
}

function once<T> (make: () => T): () => T {
  let made: T | undefined
  return () => (made ??= make())
}
