import { Type, type Static } from '@sinclair/typebox'
import { FileIdText, Filename, Metadata } from '../files/schemas.js'
import { UPLOAD_METHODS } from '../policies/policy.js'
import { StringEnum } from '../string-enum.js'

/** JSON numbers are exact up to 2^53 - 1; policies set the real limit. */
const MAX_SIZE_BYTES = Number.MAX_SAFE_INTEGER

const Sha256 = Type.String({
  pattern: '^[A-Za-z0-9+/]{43}=$',
  description: 'A SHA-256 in base64. The store then refuses other bytes.',
  examples: ['47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=']
})
const Url = Type.String({ format: 'uri', description: 'Where to send the bytes. It is a secret: whoever has it can use it once.' })
const Headers = Type.Record(Type.String(), Type.String(), {
  description: 'Send exactly these headers. Content-Length is bound too, and every client sets it by itself.',
  examples: [{ 'content-type': 'image/png', 'if-none-match': '*' }]
})
const ExpiresAt = Type.String({ format: 'date-time', description: 'Begin to send before this time.', examples: ['2026-11-25T09:45:00.000Z'] })
const PartNumber = Type.Integer({ minimum: 1, maximum: 10_000 })

export const CreateUploadBody = Type.Object({
  policy: Type.String({ minLength: 1, maxLength: 64, description: 'The name of a policy: GET /policies lists those you may use.', examples: ['pictures'] }),
  filename: Filename,
  contentType: Type.String({
    minLength: 1,
    maxLength: 255,
    description: 'The media type, in lower case and without parameters. The upload must be sent with exactly this Content-Type.',
    examples: ['image/png']
  }),
  sizeBytes: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_SIZE_BYTES, description: 'The exact size of the file in bytes. The upload must have exactly this length. Only the method POST works without it: the form then takes what the policy allows.', examples: [48213] })),
  checksumSha256: Type.Optional(Sha256),
  checksumCrc32: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9+/]{6}==$', description: 'The CRC-32 of the file, in base64, instead of a SHA-256; also for files that go up in parts.', examples: ['AAAAAA=='] })),
  checksumCrc32c: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9+/]{6}==$', description: 'The CRC-32C of the file, in base64, instead of a SHA-256; also for files that go up in parts.', examples: ['AAAAAA=='] })),
  method: Type.Optional(StringEnum(['auto', ...UPLOAD_METHODS], { default: 'auto', description: 'How to send the bytes: one PUT, a form (POST), or in parts (multipart); `auto` lets the service choose.' })),
  replaces: Type.Optional(Type.String({
    pattern: FileIdText.pattern as string,
    description: 'The id of a ready file of the same policy. It keeps its id and its old content until this upload is complete, and has the new content from then on.'
  })),
  metadata: Type.Optional(Metadata)
}, { additionalProperties: false })
export type CreateUploadBody = Static<typeof CreateUploadBody>

export const PutInstructions = Type.Object({
  method: StringEnum(['PUT']),
  url: Url,
  headers: Headers,
  expiresAt: ExpiresAt
}, { $id: 'PutInstructions', additionalProperties: false, description: 'One PUT with the bytes as its body. 412 means that they are there already: call complete.' })

export const PostInstructions = Type.Object({
  method: StringEnum(['POST']),
  url: Url,
  fields: Type.Record(Type.String(), Type.String(), { description: 'The fields of a multipart/form-data form, in this order; then the file, as `file`.' }),
  expiresAt: ExpiresAt
}, { $id: 'PostInstructions', additionalProperties: false, description: 'One form. 201 means that it arrived.' })

export const PartInstructions = Type.Object({
  partNumber: PartNumber,
  url: Url,
  headers: Headers,
  sizeBytes: Type.Integer({ minimum: 1, description: 'The exact length of this part.' })
}, { $id: 'PartInstructions', additionalProperties: false, description: 'One PUT with a slice of the file as its body.' })

export const MultipartInstructions = Type.Object({
  method: StringEnum(['multipart']),
  partSizeBytes: Type.Integer({ minimum: 1, description: 'The size of every part but the last: part n begins at (n - 1) × partSizeBytes.' }),
  partCount: PartNumber,
  parts: Type.Array(Type.Ref('PartInstructions'), { description: 'The first parts that are missing, at most 100: POST /uploads/{id}/parts gives the next ones.' }),
  uploadedParts: Type.Optional(Type.Array(Type.Object({ partNumber: PartNumber, sizeBytes: Type.Integer({ minimum: 1 }) }), { description: 'What the store has already; with GET /uploads/{id}.' })),
  expiresAt: ExpiresAt
}, { $id: 'MultipartInstructions', additionalProperties: false, description: 'One PUT per part, in any order and several at a time. Sending a part again replaces it.' })

/** Told apart by `method`; written as one schema per method, so that generators make a union. */
const Instructions = Type.Unsafe<Static<typeof PutInstructions> | Static<typeof PostInstructions> | Multipart>({
  oneOf: [Type.Ref('PutInstructions'), Type.Ref('PostInstructions'), Type.Ref('MultipartInstructions')]
})
type Multipart = Omit<Static<typeof MultipartInstructions>, 'parts'> & { parts: Array<Static<typeof PartInstructions>> }

export const UploadReply = Type.Object({
  file: Type.Ref('File'),
  upload: Type.Optional(Instructions)
}, { description: 'The file, and while its bytes are awaited, how to send them.' })

export const CompleteUploadBody = Type.Object({
  parts: Type.Optional(Type.Array(Type.Object({ partNumber: PartNumber, etag: Type.String({ minLength: 1, maxLength: 200 }) }, { additionalProperties: false }), {
    maxItems: 10_000,
    description: 'What the store answered for the parts, with or without quotes. It need not be sent: it is only compared with what the store says itself.'
  }))
}, { additionalProperties: false })

export const SignPartsBody = Type.Object({
  partNumbers: Type.Optional(Type.Array(PartNumber, { minItems: 1, maxItems: 100, uniqueItems: true, description: 'Which parts; the next missing ones when left out.' })),
  checksumsSha256: Type.Optional(Type.Record(Type.String({ pattern: '^[1-9][0-9]{0,4}$' }), Sha256, { additionalProperties: false, maxProperties: 100, description: 'SHA-256 of parts, by part number: bound by their URLs, as `x-amz-content-sha256`, so that the store refuses other bytes.' }))
}, { additionalProperties: false })
export type SignPartsBody = Static<typeof SignPartsBody>

export const SignPartsReply = Type.Object({ parts: Type.Array(Type.Ref('PartInstructions')), expiresAt: ExpiresAt })

export const MAX_BATCH_UPLOADS = 100
export const BatchBody = Type.Object({ uploads: Type.Array(CreateUploadBody, { minItems: 1, maxItems: MAX_BATCH_UPLOADS }) }, { additionalProperties: false })

export const BatchReply = Type.Object({
  data: Type.Array(Type.Object({
    file: Type.Optional(Type.Ref('File')),
    upload: Type.Optional(Instructions),
    problem: Type.Optional(Type.Ref('Problem'))
  }, { description: 'What became of one upload: its file and instructions, or its problem.' }), { description: 'In the order asked.' })
})

export const IdempotencyHeaders = Type.Object({
  'idempotency-key': Type.Optional(Type.String({ pattern: '^[\\x21-\\x7e]{1,255}$', description: 'Any text of your own, like a UUID: the same key with the same body gives the same upload again, with fresh URLs. Kept for at least 24 hours.' }))
})
