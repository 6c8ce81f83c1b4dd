import { Type, type Static } from '@sinclair/typebox'
import { CONTENT_TYPE_RULE } from '../policies/policy.js'
import type { LivingFile } from './file.js'
import { StringEnum } from '../string-enum.js'

/** Ids are looked up, never parsed; the rule only keeps bytes out that a database refuses. */
export const FileIdText = Type.String({ pattern: '^[A-Za-z0-9-]{1,64}$', description: 'The id of a file.', examples: ['0b8a4c1e-2f0d-4b7e-9a51-6f2b8f5c1a77'] })
export const FileParams = Type.Object({ id: FileIdText })

const Time = (description: string) => Type.String({ format: 'date-time', description, examples: ['2026-11-25T09:30:00.000Z'] })

export const Filename = Type.String({
  minLength: 1,
  maxLength: 1024,
  description: 'The name shown to people. Control and bidirectional characters and folders are taken out; it never becomes a path.',
  examples: ['holiday.png']
})

/** Of texts that are compared with what is in the database, which refuses NUL. Names hold no other control characters either. */
export const ONE_LINE_RULE = '^[^\\u0000-\\u001f\\u007f]*$'
export const METADATA_NAME_RULE = '^[A-Za-z0-9_.-]{1,64}$'
/** No control characters but tabs and line ends. */
export const METADATA_VALUE_RULE = '^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f]*$'
export const MAX_METADATA_VALUE_LENGTH = 1024
export const MAX_METADATA_VALUES = 32

export const Metadata = Type.Record(
  Type.String({ pattern: METADATA_NAME_RULE }),
  Type.String({ maxLength: MAX_METADATA_VALUE_LENGTH, pattern: METADATA_VALUE_RULE }),
  { maxProperties: MAX_METADATA_VALUES, additionalProperties: false, description: 'Up to 32 values of your own, kept with the file and never interpreted.', examples: [{ album: 'summer' }] }
)

export const FileStatusText = StringEnum(['pending', 'verifying', 'scanning', 'ready', 'rejected', 'expired'], {
  description: 'Where the file is in its life. `scanning` waits for a scanner, under policies that ask for one.'
})

export const FileBody = Type.Object({
  id: FileIdText,
  owner: Type.String({ description: 'The owner claim of the token that created the file.' }),
  policy: Type.String(),
  filename: Type.String(),
  contentType: Type.String({ pattern: CONTENT_TYPE_RULE }),
  method: StringEnum(['PUT', 'POST', 'multipart'], { description: 'How its bytes come, or came.' }),
  sizeBytes: Type.Optional(Type.Integer({ minimum: 0, description: 'Bytes; left out until a form without a size has arrived.' })),
  status: FileStatusText,
  visibility: StringEnum(['private', 'authenticated', 'public']),
  bucket: Type.String(),
  key: Type.String({ description: 'Where the object is in the bucket.' }),
  etag: Type.Optional(Type.String({ description: 'The ETag of the object; once it was verified.' })),
  checksumSha256: Type.Optional(Type.String({ description: 'The SHA-256 declared at creation, in base64.' })),
  checksumCrc32: Type.Optional(Type.String({ description: 'The CRC-32 declared at creation, in base64.' })),
  checksumCrc32c: Type.Optional(Type.String({ description: 'The CRC-32C declared at creation, in base64.' })),
  metadata: Metadata,
  replaces: Type.Optional(Type.String({ description: 'The file whose content this upload will replace.' })),
  rejectedReason: Type.Optional(Type.String({ description: 'Why the upload was rejected, in words.' })),
  createdAt: Time('When the upload was created.'),
  updatedAt: Time('When the row changed last.'),
  readyAt: Type.Optional(Time('When the file could be downloaded first.'))
}, { $id: 'File', additionalProperties: false, description: 'A file: what is known of it, not its bytes.' })
export type FileBody = Static<typeof FileBody>

const CHECKSUM_FIELDS = { SHA256: 'checksumSha256', CRC32: 'checksumCrc32', CRC32C: 'checksumCrc32c' } as const

/** A file as clients see it. Leases, deadlines and the tenant stay inside. */
export function toFileBody (file: LivingFile): FileBody {
  // Assigned, since spreading what there may be takes several times as long, for each file of a list.
  const body: FileBody = {
    id: file.id,
    owner: file.owner,
    policy: file.policy,
    filename: file.filename,
    contentType: file.contentType,
    method: file.method,
    status: file.status,
    visibility: file.visibility,
    bucket: file.bucket,
    key: file.key,
    metadata: file.metadata,
    createdAt: file.createdAt.toISOString(),
    updatedAt: file.updatedAt.toISOString()
  }
  if (file.sizeBytes !== null) body.sizeBytes = file.sizeBytes
  if (file.status === 'ready' || file.status === 'scanning') body.etag = file.etag
  if (file.status === 'ready') body.readyAt = file.readyAt.toISOString()
  if (file.status === 'rejected') body.rejectedReason = file.rejectedReason
  if (file.checksum) body[CHECKSUM_FIELDS[file.checksum.algorithm]] = file.checksum.value
  if (file.replaces !== null) body.replaces = file.replaces
  return body
}

export const VerdictBody = Type.Object({
  verdict: StringEnum(['clean', 'infected'], { description: 'What the scanner found.' }),
  detail: Type.Optional(Type.String({ minLength: 1, maxLength: 200, pattern: ONE_LINE_RULE, description: 'What was found, for people; it becomes part of `rejectedReason`.', examples: ['Eicar-Test-Signature'] }))
}, { additionalProperties: false })
export type VerdictBody = Static<typeof VerdictBody>

export const UpdateFileBody = Type.Object({
  filename: Type.Optional(Filename),
  metadata: Type.Optional(Metadata)
}, { additionalProperties: false, minProperties: 1 })
export type UpdateFileBody = Static<typeof UpdateFileBody>

export const ListFilesQuery = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 50, description: 'How many files a page holds at most.' })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 512, description: 'The `nextCursor` of the page before.' })),
  status: Type.Optional(StringEnum(['pending', 'verifying', 'scanning', 'ready', 'rejected', 'expired'], { default: 'ready', description: 'Only files in this state.' })),
  policy: Type.Optional(Type.String({ minLength: 1, maxLength: 64, pattern: ONE_LINE_RULE, description: 'Only files of this policy.' })),
  owner: Type.Optional(Type.String({ minLength: 1, maxLength: 255, pattern: ONE_LINE_RULE, description: 'Another owner\'s files; needs the scope `files:admin`.' }))
}, { additionalProperties: false })
export type ListFilesQuery = Static<typeof ListFilesQuery>

export const FileListReply = Type.Object({
  data: Type.Array(Type.Ref('File')),
  nextCursor: Type.Optional(Type.String({ description: 'Bring it back as `cursor` for the next page; left out on the last one.' }))
})

export const FileReply = Type.Object({ file: Type.Ref('File') })
