import type { FastifyInstance, FastifySchema } from 'fastify'
import fastJsonStringify, { type Schema } from 'fast-json-stringify'
import { strictAjv } from './strict-ajv.js'

/**
 * Fastify would drop unknown properties and turn texts into numbers; here only query strings are read as numbers.
 * A schema is compiled when it is first needed: compiling all of them takes longer than everything else at the start.
 */
export function compileLazily (app: FastifyInstance): void {
  const exact = strictAjv()
  const fromText = strictAjv({ coerceTypes: true })
  app.setValidatorCompiler<FastifySchema>(({ schema, httpPart }) => {
    const ajv = httpPart === 'body' ? exact : fromText
    const compiled = once(() => ajv.compile(schema))
    return data => {
      const validate = compiled()
      return validate(data) || { error: validate.errors as unknown as Error }
    }
  })
  app.setSerializerCompiler<FastifySchema>(({ schema, httpStatus = '' }) => {
    // Problems are written by the error handler.
    if (/^[45]/.test(httpStatus)) return JSON.stringify
    const compiled = once(() => fastJsonStringify(withoutChoices(schema), { schema: app.getSchemas() as Record<string, Schema> }))
    return data => compiled()(data)
  })
}

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
