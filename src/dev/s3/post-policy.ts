import { S3Error } from './s3-error.js'

/** What a form sent: names are lower case. */
export interface PolicyInput {
  readonly bucket: string
  readonly fields: ReadonlyMap<string, string>
  readonly now: Date
}

export interface SizeRange {
  readonly minBytes: number
  readonly maxBytes: number
}

type Condition =
  | { readonly kind: 'eq' | 'starts-with', readonly name: string, readonly value: string, readonly written: string }
  | { readonly kind: 'content-length-range', readonly range: SizeRange }

function invalid (message: string): S3Error {
  return new S3Error('InvalidPolicyDocument', `Invalid Policy: ${message}`)
}

function denied (message: string): S3Error {
  return new S3Error('AccessDenied', `Invalid according to Policy: ${message}`)
}

function parseSimple (condition: object): Condition {
  const entries: Array<[string, unknown]> = Object.entries(condition)
  const [name, value] = entries[0] ?? []
  if (entries.length !== 1 || name === undefined) throw invalid('Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.')
  if (typeof value !== 'string') throw invalid('Invalid Simple-Condition: value must be a string.')
  return { kind: 'eq', name: name.toLowerCase(), value, written: `["eq", "$${name}", "${value}"]` }
}

function isSize (value: unknown): value is number | string {
  return (typeof value === 'number' && Number.isInteger(value) && value >= 0) || (typeof value === 'string' && /^\d+$/.test(value))
}

function parseTriple (condition: readonly unknown[]): Condition {
  const [operator, first, second] = condition
  const kind = typeof operator === 'string' ? operator.toLowerCase() : ''
  if (condition.length !== 3) throw invalid('Invalid Condition: a condition has three elements.')
  if (kind === 'content-length-range') {
    if (!isSize(first) || !isSize(second)) throw invalid('Invalid content-length-range: wrong numbers.')
    return { kind, range: { minBytes: Number(first), maxBytes: Number(second) } }
  }
  if (kind !== 'eq' && kind !== 'starts-with') throw invalid(`Unknown condition operation '${String(operator)}'.`)
  if (typeof first !== 'string' || !first.startsWith('$') || typeof second !== 'string') throw invalid('Invalid Condition: a field is written $name, and its value is a string.')
  return { kind, name: first.slice(1).toLowerCase(), value: second, written: JSON.stringify(condition) }
}

function parsePolicy (encoded: string): { readonly expiration: Date, readonly conditions: readonly Condition[] } {
  let document: unknown
  try {
    document = JSON.parse(Buffer.from(encoded, 'base64').toString('utf8'))
  } catch {
    throw invalid('Invalid JSON.')
  }
  if (typeof document !== 'object' || document === null || Array.isArray(document)) throw invalid('Invalid JSON: not an object.')
  const { expiration, conditions } = document as { readonly expiration?: unknown, readonly conditions?: unknown }
  if (typeof expiration !== 'string') throw invalid('Policy missing expiration.')
  const expires = new Date(expiration)
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/.test(expiration) || Number.isNaN(expires.getTime())) throw invalid('Invalid \'expiration\' value.')
  if (!Array.isArray(conditions)) throw invalid('Policy missing conditions.')
  return {
    expiration: expires,
    conditions: conditions.map((condition: unknown) => {
      if (Array.isArray(condition)) return parseTriple(condition)
      if (typeof condition === 'object' && condition !== null) return parseSimple(condition)
      throw invalid('Invalid Condition.')
    })
  }
}

/** "Content types values for a starts-with condition that include commas are interpreted as lists. Each value in the list must meet the condition." */
function holds (condition: Extract<Condition, { name: string }>, actual: string): boolean {
  if (condition.kind === 'eq') return actual === condition.value
  const values = condition.name === 'content-type' ? actual.split(',').map((value) => value.trim()) : [actual]
  return values.every((value) => value.startsWith(condition.value))
}

const exemptFields = new Set(['x-amz-signature', 'file', 'policy', 'awsaccesskeyid', 'signature'])

/**
 * Checks the form against its own policy, in both directions: every condition holds, and every field has a condition.
 * @returns the range that the file's size must be in, if the policy has one
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
 */
export function checkPolicy (encoded: string, { bucket, fields, now }: PolicyInput): SizeRange | undefined {
  const { expiration, conditions } = parsePolicy(encoded)
  if (now >= expiration) throw denied('Policy expired.')
  const covered = new Set<string>()
  const ranges: SizeRange[] = []
  for (const condition of conditions) {
    if (condition.kind === 'content-length-range') {
      ranges.push(condition.range)
      continue
    }
    covered.add(condition.name)
    const actual = condition.name === 'bucket' ? bucket : fields.get(condition.name)
    if (actual === undefined || !holds(condition, actual)) throw denied(`Policy Condition failed: ${condition.written}`)
  }
  const extra = [...fields.keys()].filter((name) => !covered.has(name) && !exemptFields.has(name) && !name.startsWith('x-ignore-'))
  if (extra.length > 0) throw denied(`Extra input fields: ${extra.join(', ')}`)
  if (ranges.length === 0) return undefined
  return { minBytes: Math.max(...ranges.map(({ minBytes }) => minBytes)), maxBytes: Math.min(...ranges.map(({ maxBytes }) => maxBytes)) }
}
