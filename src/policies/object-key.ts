/** An object key that this service made: no other is ever signed. */
export type ObjectKey = string & { readonly brand: 'ObjectKey' }

export interface KeyValues {
  readonly tenant: string
  readonly owner: string
  readonly fileId: string
  /** As the client sent it; only a slug of it gets into the key. */
  readonly filename: string
  readonly createdAt: Date
}

/** S3 allows 1,024 bytes; half of it leaves room for prefixes of tools that copy buckets. */
const MAX_KEY_BYTES = 512
const MAX_SLUG_LENGTH = 64
/** A lifecycle rule may expire what is left here after two days. */
export const STAGING_PREFIX = 'staging/'
/** Each placeholder with the most characters that it can become. */
const LONGEST = { tenant: MAX_SLUG_LENGTH, owner: MAX_SLUG_LENGTH, fileId: 36, slug: MAX_SLUG_LENGTH, ext: 11, yyyy: 4, mm: 2, dd: 2 }
type Placeholder = keyof typeof LONGEST

/**
 * Turns any text into 1 to 64 characters of `[A-Za-z0-9_-]`. Different texts may give the same slug: the file
 * id, not the slug, keeps keys apart.
 */
export function renderSlug (value: string): string {
  // Most owners are such a text already.
  if (/^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62}[A-Za-z0-9_])?$/.test(value)) return value
  const slug = value.normalize('NFKD').replace(/[^A-Za-z0-9_-]+/g, '-').replace(/^-+|-+$/g, '').slice(0, MAX_SLUG_LENGTH)
  return slug.replace(/-+$/, '') || 'x'
}

/** The extension of a file name in lower case with its dot, or the empty string when it is not a plain one. */
export function renderExtension (filename: string): string {
  return /[^/\\](\.[A-Za-z0-9]{1,10})$/.exec(filename)?.[1]?.toLowerCase() ?? ''
}

/** Where clients write a file that is sealed by a copy. No key of a policy begins like it: see `renderObjectKey`. */
export function renderStagingKey (fileId: string): ObjectKey {
  return `${STAGING_PREFIX}${fileId}` as ObjectKey
}

/** Why a key template cannot be used, or null. The rest of this file relies on these rules. */
export function findKeyTemplateProblem (template: string): string | null {
  for (const [, name] of template.matchAll(/\{([^}]*)\}/g)) {
    if (!Object.hasOwn(LONGEST, name as string)) return `{${name}} is not known; use ${Object.keys(LONGEST).map(known => `{${known}}`).join(' ')}`
  }
  if (!template.includes('{fileId}')) return 'it must contain {fileId}, which keeps files apart'
  const fixed = template.replace(/\{[^}]*\}/g, 'x')
  if (!/^[A-Za-z0-9._/-]+$/.test(fixed)) return 'outside of placeholders it may hold A-Z a-z 0-9 . _ - and /'
  if (fixed.split('/').some(segment => segment === '' || /^\.+$/.test(segment))) {
    return 'it must not begin or end with a slash, or hold empty or dot segments: browsers rewrite such paths'
  }
  if (template.replaceAll('{ext}', '').startsWith(STAGING_PREFIX)) return `keys below ${STAGING_PREFIX} are for files that are not checked yet`
  if (/(^|\/)\{ext\}/.test(template)) return '{ext} must not begin a segment: it is empty for files without an extension'
  const longest = render(template, name => 'x'.repeat(LONGEST[name]))
  return longest.length > MAX_KEY_BYTES ? `its longest key would have ${longest.length} bytes; at most ${MAX_KEY_BYTES} are allowed` : null
}

/** Only these can spell anything: the fixed text alone does not give the staging prefix, an id is too long, and dates are digits. */
const FIRST_NAME = /\{(?:tenant|owner|slug)\}/

const VALUES: Readonly<Record<Placeholder, (values: KeyValues) => string>> = {
  tenant: ({ tenant }) => renderSlug(tenant),
  owner: ({ owner }) => renderSlug(owner),
  fileId: ({ fileId }) => fileId,
  slug: ({ filename }) => renderSlug(filename.slice(0, filename.length - renderExtension(filename).length)),
  ext: ({ filename }) => renderExtension(filename),
  yyyy: ({ createdAt }) => createdAt.toISOString().slice(0, 4),
  mm: ({ createdAt }) => createdAt.toISOString().slice(5, 7),
  dd: ({ createdAt }) => createdAt.toISOString().slice(8, 10)
}

/**
 * Renders a template that `findKeyTemplateProblem` accepts. The same values always give the same key. Names that spell
 * the staging prefix get a `_` before them: what is below it is deleted, by the sweeper and by the rule of the bucket.
 */
export function renderObjectKey (template: string, values: KeyValues): ObjectKey {
  const value = (name: Placeholder): string => VALUES[name](values)
  const key = render(template, value)
  return (key.startsWith(STAGING_PREFIX) ? render(template.replace(FIRST_NAME, '_$&'), value) : key) as ObjectKey
}

/** All that could be the file id in a key of any template, wherever it is: names of owners and files may look like one, too. */
export function findIds (key: string): string[] {
  return [...key.matchAll(/(?=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))/g)].map(([, id]) => id as string)
}

/** What every key of a template begins with: where a listing has to look. */
export function findKeyPrefix (template: string): string {
  return template.slice(0, template.indexOf('{'))
}

/** What a value of each placeholder looks like. Files of others in the same bucket do not look like all of them at once. */
const SHAPES: Record<Placeholder, string> = {
  tenant: '[A-Za-z0-9_-]{1,64}',
  owner: '[A-Za-z0-9_-]{1,64}',
  fileId: '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}',
  slug: '[A-Za-z0-9_-]{1,64}',
  ext: '(\\.[a-z0-9]{1,10})?',
  yyyy: '\\d{4}',
  mm: '\\d{2}',
  dd: '\\d{2}'
}

/** Matches the keys that a template can give, and staging keys for the staging prefix followed by `{fileId}`. */
export function keyPattern (template: string): RegExp {
  const pattern = template.split(/(\{[^}]*\})/).map(part => part.startsWith('{') ? SHAPES[part.slice(1, -1) as Placeholder] : part.replace(/[.]/g, '\\$&')).join('')
  return new RegExp(`^${pattern}$`)
}

/** By template, of which there are as many as policies: fixed text and the names of placeholders by turns. */
const segments = new Map<string, readonly string[]>()

function render (template: string, value: (name: Placeholder) => string): string {
  let parts = segments.get(template)
  if (!parts) segments.set(template, parts = template.split(/\{([^}]*)\}/))
  let text = ''
  for (const [index, part] of parts.entries()) text += index % 2 === 0 ? part : value(part as Placeholder)
  return text
}
