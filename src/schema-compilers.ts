import type { FastifySchema, FastifySchemaCompiler, FastifySerializerCompiler, FastifyServerOptions } from 'fastify'
import fastJsonStringify, { type Schema } from 'fast-json-stringify'
import { strictAjv } from './strict-ajv.js'

/**
 * Fastify would drop unknown properties and turn texts into numbers; here only query strings are read as numbers.
 * A schema is compiled when it is first needed: compiling all of them takes longer than everything else at the start.
 */
function buildValidator (): FastifySchemaCompiler<FastifySchema> {
  const exact = strictAjv()
  const fromText = strictAjv({ coerceTypes: true })
  return ({ schema, httpPart }) => {
    const ajv = httpPart === 'body' ? exact : fromText
    const compiled = once(() => ajv.compile(schema))
    return data => {
      const validate = compiled()
      return validate(data) || { error: validate.errors ?? [] }
    }
  }
}

function buildSerializer (sharedSchemas: Record<string, Schema>): FastifySerializerCompiler<FastifySchema> {
  return ({ schema, httpStatus = '' }) => {
    // Problems are written by the error handler.
    if (/^[45]/.test(httpStatus)) return JSON.stringify
    const compiled = once(() => fastJsonStringify(withoutChoices(schema), { schema: sharedSchemas }))
    return data => compiled()(data)
  }
}

/** Fastify's types know only of its own two compilers here. */
export const schemaController = { compilersFactory: { buildValidator, buildSerializer } } as unknown as NonNullable<FastifyServerOptions['schemaController']>

/**
 * A value with a choice of schemas would be validated against each of them, at every reply, to find the one to write
 * it by. Those values are built field by field: they are written as they are.
 */
function withoutChoices (schema: unknown): Schema {
  return JSON.parse(JSON.stringify(schema, (_key, value: { oneOf?: unknown } | null) => value?.oneOf === undefined ? value : {})) as Schema
}

function once<T> (make: () => T): () => T {
  let made: T | undefined
  return () => (made ??= make())
}
