import { Type, type Static } from '@sinclair/typebox'
import { Filename, ONE_LINE_RULE } from '../files/schemas.js'
import { StringEnum } from '../string-enum.js'

// Objects are open here, unlike elsewhere: a newer Uppy may send more, and nothing but what is named is read.

const ContentType = Type.Optional(Type.String({ maxLength: 255, description: 'The media type; `application/octet-stream` when left out.', examples: ['image/png'] }))
const Expires = Type.Integer({ minimum: 0, description: 'How many seconds the URL lives.' })
const PartNumber = Type.Integer({ minimum: 1, maximum: 10_000 })
/** S3 does not say how long its ids are: those of AWS have 128 characters, those of others several hundred. */
const UploadId = Type.String({ minLength: 1, maxLength: 1024, pattern: ONE_LINE_RULE, description: 'The `uploadId` of the reply that began the upload, percent-encoded.' })

export const UppyParams = { policy: Type.String({ minLength: 1, maxLength: 64, pattern: ONE_LINE_RULE, description: 'The policy that the files are uploaded under.', examples: ['pictures'] }) }
export const UppyTicketParams = { ticket: Type.String({ minLength: 1, maxLength: 64, description: 'The secret part of an upload ticket\'s endpoint.' }) }
export const UploadParams = { uploadId: UploadId }
export const PartParams = { uploadId: UploadId, partNumber: PartNumber }

export const ParamsQuery = Type.Object({
  filename: Filename,
  type: ContentType,
  'metadata[size]': Type.Optional(Type.String({ description: 'The exact size of the file in bytes, if the app declares it: it is bound then. Any other `metadata[NAME]` is kept with the file.', examples: ['48213'] }))
})

export const KeyQuery = Type.Object({ key: Type.String({ minLength: 1, maxLength: 1024, pattern: ONE_LINE_RULE, description: 'The `key` of the reply that began the upload.' }) })
export const BatchQuery = Type.Object({
  ...KeyQuery.properties,
  partNumbers: Type.String({ pattern: '^[1-9][0-9]{0,4}(,[1-9][0-9]{0,4}){0,99}$', description: 'Up to 100 numbers with commas between.', examples: ['4,6,7'] })
})

export const MultipartBody = Type.Object({
  filename: Filename,
  type: ContentType,
  metadata: Type.Optional(Type.Record(Type.String(), Type.Unknown(), { description: 'Values to keep with the file; `size` declares its exact size. Nulls are left out.' }))
})

export const CompleteBody = Type.Object({
  parts: Type.Array(Type.Object({ PartNumber, ETag: Type.String({ minLength: 1, maxLength: 200, description: 'With or without its quotes.' }) }), { minItems: 1, maxItems: 10_000 })
})

export const PresignBody = Type.Object({
  method: StringEnum(['PUT', 'POST', 'GET', 'DELETE']),
  key: Type.String({ minLength: 1, maxLength: 1024, description: 'The key that Uppy proposes. It only gives the file its name.' }),
  uploadId: Type.Optional(Type.String()),
  partNumber: Type.Optional(Type.Integer()),
  contentType: ContentType,
  size: Type.Optional(Type.Integer({ minimum: 0, description: 'The exact size, where the app knows it. Policies without forms need it.' }))
})
export type PresignBody = Static<typeof PresignBody>

const Fields = Type.Record(Type.String(), Type.String(), { description: 'The fields of the form, in this order; then the file, as `file`.' })
const Headers = Type.Record(Type.String(), Type.String(), { description: 'Send exactly these headers.' })
const Url = Type.String({ format: 'uri', description: 'Where to send the bytes. It is a secret.' })

export const ParamsReply = Type.Object({
  method: StringEnum(['POST', 'PUT'], { description: 'A form, unless the policy has none.' }),
  url: Url,
  fields: Type.Optional(Fields),
  headers: Type.Optional(Headers),
  expires: Expires
})
export const PresignReply = Type.Object({
  url: Url,
  key: Type.String({ description: 'The key that the file goes to; it holds the id of the file.' }),
  fields: Type.Optional(Fields),
  headers: Type.Optional(Headers)
})
export const MultipartReply = Type.Object({
  key: Type.String({ description: 'The key of the object; it holds the id of the file.' }),
  uploadId: Type.String(),
  bucket: Type.String()
})
export const PartReply = Type.Object({ url: Url, expires: Expires })
export const BatchReply = Type.Object({ presignedUrls: Type.Record(Type.String(), Type.String(), { description: 'By part number.' }) })
export const PartsReply = Type.Array(Type.Object({ PartNumber, ETag: Type.String(), Size: Type.Integer({ minimum: 0 }) }))
export const CompleteReply = Type.Object({
  location: Type.String({ format: 'uri', description: 'Where the object is. Nobody can read it there without a signature: POST /downloads gives one.' }),
  key: Type.String(),
  bucket: Type.String(),
  file: Type.Ref('File')
})
export const AbortReply = Type.Object({}, { additionalProperties: false })
