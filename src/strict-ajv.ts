import { Ajv } from 'ajv'

/**
 * Checks bodies to the letter: nothing is dropped, and with `coerceTypes` alone texts are read as numbers. That the
 * schemas are schemas is what the tests of openapi.yaml prove, not every start.
 */
export function strictAjv ({ coerceTypes = false, allErrors = true, isStandalone = false } = {}): Ajv {
  return new Ajv({ allErrors, useDefaults: true, removeAdditional: false, allowUnionTypes: true, strict: false, meta: false, validateSchema: false, formats: { 'date-time': true, uri: true }, coerceTypes, code: { source: isStandalone } })
}
