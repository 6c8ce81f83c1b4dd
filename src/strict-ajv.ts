import { Ajv } from 'ajv'

/** Checks bodies to the letter: nothing is dropped, and with `coerceTypes` alone texts are read as numbers. */
export function strictAjv ({ coerceTypes = false } = {}): Ajv {
  return new Ajv({ allErrors: true, useDefaults: true, removeAdditional: false, allowUnionTypes: true, strict: false, formats: { 'date-time': true, uri: true }, coerceTypes })
}
