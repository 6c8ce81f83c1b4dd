import { Type, type Static } from '@sinclair/typebox'
import { FileIdText, Filename, Metadata } from '../files/schemas.js'
import { StringEnum } from '../string-enum.js'

/** JSON numbers are exact up to 2^53 - 1; policies set the real limit. */
const MAX_SIZE_BYTES = Number.MAX_SAFE_INTEGER

export const CreateUploadBody = Type.Object({
  policy: Type.String({ minLength: 1, maxLength: 64, description: 'The name of a policy: GET /policies lists those you may use.', examples: ['pictures'] }),
  filename: Filename,
  contentType: Type.String({
    minLength: 1,
    maxLength: 255,
    description: 'The media type, in lower case and without parameters. The upload must be sent with exactly this Content-Type.',
    examples: ['image/png']
  }),
  sizeBytes: Type.Integer({ minimum: 0, maximum: MAX_SIZE_BYTES, description: 'The exact size of the file in bytes. The upload must have exactly this length.', examples: [48213] }),
  checksumSha256: Type.Optional(Type.String({
    pattern: '^[A-Za-z0-9+/]{43}=$',
    description: 'The SHA-256 of the file, in base64. The store then refuses other bytes.',
    examples: ['47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=']
  })),
  method: Type.Optional(StringEnum(['auto', 'PUT'], { default: 'auto', description: 'How to send the bytes; `auto` lets the service choose.' })),
  replaces: Type.Optional(Type.String({
    pattern: FileIdText.pattern as string,
    description: 'The id of a ready file of the same policy. It keeps its id and its old content until this upload is complete, and has the new content from then on.'
  })),
  metadata: Type.Optional(Metadata)
}, { additionalProperties: false })
export type CreateUploadBody = Static<typeof CreateUploadBody>

export const PutInstructions = Type.Object({
  method: StringEnum(['PUT']),
  url: Type.String({ format: 'uri', description: 'Where to send the bytes. It is a secret: whoever has it can use it once.' }),
  headers: Type.Record(Type.String(), Type.String(), {
    description: 'Send exactly these headers. Content-Length is bound too, and every client sets it by itself.',
    examples: [{ 'content-type': 'image/png', 'if-none-match': '*' }]
  }),
  expiresAt: Type.String({ format: 'date-time', description: 'Begin to send before this time.', examples: ['2026-11-25T09:45:00.000Z'] })
}, { $id: 'PutInstructions', additionalProperties: false, description: 'How to send the file: one PUT with the bytes as its body. 412 means that they are there already: call complete.' })

export const UploadReply = Type.Object({
  file: Type.Ref('File'),
  upload: Type.Optional(Type.Ref('PutInstructions'))
}, { description: 'The file, and while its bytes are awaited, how to send them.' })

/** Nothing needs to be said to complete a single PUT. */
export const CompleteUploadBody = Type.Object({}, { additionalProperties: false })
