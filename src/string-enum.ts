import { Type, type SchemaOptions, type TUnsafe } from '@sinclair/typebox'

/** One of several texts, as `enum`: TypeBox's union of literals becomes an `anyOf` that code generators read badly. */
export function StringEnum<const Value extends string> (values: readonly Value[], options: SchemaOptions = {}): TUnsafe<Value> {
  return Type.Unsafe<Value>({ type: 'string', enum: [...values], ...options })
}
