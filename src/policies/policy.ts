import { Type, type Static } from '@sinclair/typebox'
import { StringEnum } from '../string-enum.js'

/** RFC 6838 section 4.2, in lower case and without parameters; `image/*` stands for every type of one kind. */
export const CONTENT_TYPE_RULE = '^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/(\\*|[a-z0-9][a-z0-9!#$&^_.+-]{0,126})$'
const Size = Type.Union([Type.Integer({ minimum: 0 }), Type.String({ pattern: '^\\d+(\\.\\d+)?\\s*(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)$' })])
/** The signature bounds what a URL may do, its life bounds how long: an hour is enough for one file on a slow line. */
const TtlSeconds = Type.Integer({ minimum: 60, maximum: 3600 })

export const UPLOAD_METHODS = ['PUT', 'POST', 'multipart'] as const

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
  methods: Type.Optional(Type.Array(StringEnum(UPLOAD_METHODS), { minItems: 1, uniqueItems: true })),
  multipart: Type.Optional(Type.Object({ threshold: Type.Optional(Size), partSize: Type.Optional(Size) }, closed)),
  quota: Type.Optional(Type.Object({
    files: Type.Optional(Type.Integer({ minimum: 1 })),
    bytes: Type.Optional(Size),
    pending: Type.Optional(Type.Integer({ minimum: 1 }))
  }, closed)),
  bucket: Type.Optional(Type.String({ minLength: 1 })),
  retentionDays: Type.Optional(Type.Integer({ minimum: 1, maximum: 36_500 })),
  scan: Type.Optional(Type.Object({
    deadlineSeconds: Type.Integer({ minimum: 60, maximum: 2_592_000 }),
    onDeadline: Type.Optional(StringEnum(['hold', 'reject']))
  }, closed)),
  presignedDelete: Type.Optional(Type.Boolean()),
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
export type UploadMethod = typeof UPLOAD_METHODS[number]

/** Another bucket than the one of the environment, as it is written in the policies file. */
export const BucketEntry = Type.Object({
  bucket: Type.String({ minLength: 3, maxLength: 63 }),
  region: Type.Optional(Type.String({ minLength: 1 })),
  endpoint: Type.Optional(Type.String({ pattern: '^https?://[^/?#@]+/?$' })),
  publicEndpoint: Type.Optional(Type.String({ pattern: '^https?://[^/?#@]+/?$' })),
  forcePathStyle: Type.Optional(Type.Boolean()),
  /** A profile of the AWS configuration files; the provider chain when left out. */
  profile: Type.Optional(Type.String({ minLength: 1 }))
}, closed)
export type BucketEntry = Static<typeof BucketEntry>

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
  /** With `auto`, larger files go up in parts. */
  readonly multipartThresholdBytes: number
  /** How large a part is, unless the file would have more than 10,000 of them. */
  readonly partSizeBytes: number
  readonly quota: Quota
  /** The name of a bucket of the policies file; null is the one of the environment. */
  readonly bucket: string | null
  /** How long content is kept once it is ready; null is for ever. */
  readonly retentionDays: number | null
  /** Whether files wait for the verdict of a scanner before they are ready; null is no. */
  readonly scan: Scan | null
  /** Whether clients may get a URL to delete an object by themselves. */
  readonly presignedDelete: boolean
  readonly uploadUrlTtlSeconds: number
  readonly downloadUrlTtlSeconds: number
  /** Whether the first bytes must show the declared content type. */
  readonly verifyContentType: boolean
  readonly checksumRequired: boolean
  readonly disposition: Disposition
}

/** What happens to a file that nobody has given a verdict on in time: it goes on waiting, or is rejected. It is never let through. */
export interface Scan {
  readonly deadlineSeconds: number
  readonly onDeadline: 'hold' | 'reject'
}

/** What one owner may hold under a policy; undefined is no limit. */
export interface Quota {
  readonly files?: number
  readonly bytes?: number
  /** Uploads that are not complete. */
  readonly pending?: number
}

/** By name. A Map, since names come from clients. */
export type Policies = ReadonlyMap<string, Policy>
