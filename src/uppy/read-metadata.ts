import { ApiError } from '../errors.js'
import { MAX_METADATA_VALUE_LENGTH, MAX_METADATA_VALUES, METADATA_NAME_RULE, METADATA_VALUE_RULE } from '../files/schemas.js'

export interface UppyMetadata {
  /** The name as the user may have changed it; Uppy 6 sends the old one as the file name. */
  readonly name: string | undefined
  /** Uppy sends no size by itself: an app adds it as one more value. */
  readonly sizeBytes: number | undefined
  /** What is kept with the file. */
  readonly metadata: Readonly<Record<string, string>>
}

const nameRule = new RegExp(METADATA_NAME_RULE)
const valueRule = new RegExp(METADATA_VALUE_RULE)
const FORBIDDEN_NAMES = new Set(['__proto__', 'constructor', 'prototype'])

/**
 * What an Uppy client sends of a file besides its name and type. `name`, `type` and `size` are facts of the row;
 * the rest is kept as metadata. Uppy 6 writes a value that is null as the word: both are as good as absent.
 * @throws {ApiError} INVALID_REQUEST for what cannot be kept, naming it
 */
export function readMetadata (sent: ReadonlyArray<readonly [name: string, value: unknown]>): UppyMetadata {
  const values = new Map<string, string>()
  for (const [name, value] of sent) {
    if (value === null || value === undefined || value === 'null' || value === '') continue
    values.set(name, toText(name, value))
  }
  const name = values.get('name')
  const size = values.get('size')
  for (const fact of ['name', 'type', 'size']) values.delete(fact)
  if (values.size > MAX_METADATA_VALUES) throw invalid('', `At most ${MAX_METADATA_VALUES} values are kept with a file: name those to send in allowedMetaFields.`)
  for (const [name, value] of values) {
    if (!nameRule.test(name) || FORBIDDEN_NAMES.has(name)) throw invalid(name, 'A name in the metadata has 1 to 64 letters, digits, "_", "." or "-": leave this one out by allowedMetaFields.')
    if (value.length > MAX_METADATA_VALUE_LENGTH || !valueRule.test(value)) throw invalid(name, `A value in the metadata has at most ${MAX_METADATA_VALUE_LENGTH} characters, and no control characters: leave this one out by allowedMetaFields.`)
  }
  return { name, sizeBytes: size === undefined ? undefined : toSizeBytes(size), metadata: Object.fromEntries(values) }
}

function toText (name: string, value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw invalid(name, 'A value in the metadata is a text, a number or a boolean: leave this one out by allowedMetaFields.')
}

function toSizeBytes (size: string): number {
  if (/^\d{1,16}$/.test(size) && Number.isSafeInteger(Number(size))) return Number(size)
  throw invalid('size', 'The size in the metadata is the exact number of bytes.')
}

function invalid (name: string, message: string): ApiError {
  return new ApiError('INVALID_REQUEST', name === '' ? message : `metadata "${name.slice(0, 64)}": ${message}`, { errors: [{ path: `/metadata/${name.slice(0, 64)}`, message }] })
}
