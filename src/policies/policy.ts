import { Type, type Static } from '@sinclair/typebox'
import { StringEnum } from '../string-enum.js'

/** RFC 6838 section 4.2, in lower case and without parameters; `image/*` stands for every type of one kind. */
export const CONTENT_TYPE_RULE = '^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/(\\*|[a-z0-9][a-z0-9!#$&^_.+-]{0,126})$'
const Size = Type.Union([Type.Integer({ minimum: 0 }), Type.String({ pattern: '^\\d+(\\.\\d+)?\\s*(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)$' })])
/** The signature bounds what a URL may do, its life bounds how long: an hour is enough for one file on a slow line. */
const TtlSeconds = Type.Integer({ minimum: 60, maximum: 3600 })

const closed = { additionalProperties: false }

/** One policy as it is written in the policies file. */
export const PolicyEntry = Type.Object({
  contentTypes: Type.Array(Type.String({ pattern: CONTENT_TYPE_RULE }), { minItems: 1, uniqueItems: true }),
  maxSize: Size,
  minSize: Type.Optional(Size),
  key: Type.String({ minLength: 1, maxLength: 256 }),
  visibility: Type.Optional(StringEnum(['private', 'authenticated', 'public'])),
  require: Type.Optional(Type.Object({
    scopes: Type.Optional(Type.Array(Type.String({ minLength: 1 }))),
    claims: Type.Optional(Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()])))
  }, closed)),
  methods: Type.Optional(Type.Array(StringEnum(['PUT']), { minItems: 1, uniqueItems: true })),
  uploadUrlTtlSeconds: Type.Optional(TtlSeconds),
  downloadUrlTtlSeconds: Type.Optional(TtlSeconds),
  verify: Type.Optional(Type.Object({
    contentType: Type.Optional(Type.Boolean()),
    checksum: Type.Optional(StringEnum(['optional', 'required']))
  }, closed)),
  disposition: Type.Optional(StringEnum(['inline', 'attachment']))
}, closed)
export type PolicyEntry = Static<typeof PolicyEntry>

export type Visibility = 'private' | 'authenticated' | 'public'
export type Disposition = 'inline' | 'attachment'
export type UploadMethod = 'PUT'

/** One policy as the service uses it: complete, with sizes in bytes. */
export interface Policy {
  readonly name: string
  readonly contentTypes: readonly string[]
  readonly minSizeBytes: number
  readonly maxSizeBytes: number
  readonly keyTemplate: string
  readonly visibility: Visibility
  readonly requiredScopes: readonly string[]
  readonly requiredClaims: ReadonlyMap<string, string | number | boolean>
  readonly methods: readonly UploadMethod[]
  readonly uploadUrlTtlSeconds: number
  readonly downloadUrlTtlSeconds: number
  /** Whether the first bytes must show the declared content type. */
  readonly verifyContentType: boolean
  readonly checksumRequired: boolean
  readonly disposition: Disposition
}

/** By name. A Map, since names come from clients. */
export type Policies = ReadonlyMap<string, Policy>
