import { Ajv, type ValidateFunction } from 'ajv'
import { compiledSchemas } from './built-ahead.js'

/** Of what an operator writes. */
export type RulesName = 'environment' | 'policies'

/** All rules, when the service was built: compiling those of some variables and sections takes a twentieth of a start. */
export function builtAhead (name: RulesName): ValidateFunction | undefined {
  return compiledSchemas[name]?.() as ValidateFunction | undefined
}

/** Tells all that is wrong at once. With `coerceTypes` texts are read as numbers and the like. */
export function rulesAjv ({ coerceTypes = false, isStandalone = false } = {}): Ajv {
  return new Ajv({ allErrors: true, allowUnionTypes: true, coerceTypes, meta: false, validateSchema: false, code: { optimize: isStandalone, source: isStandalone } })
}
