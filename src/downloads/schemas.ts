import { Type, type Static } from '@sinclair/typebox'
import { FileIdText, Filename } from '../files/schemas.js'
import { StringEnum } from '../string-enum.js'

/** What S3 allows; a policy allows less. */
const MAX_URL_TTL_SECONDS = 604_800

const DispositionText = StringEnum(['inline', 'attachment'], {
  description: 'How a browser shows the file. Types that could run script are attachments whatever is asked for.'
})

export const CreateDownloadBody = Type.Object({
  fileId: FileIdText,
  method: Type.Optional(StringEnum(['GET', 'HEAD'], { default: 'GET', description: 'What the URL will be used for.' })),
  disposition: Type.Optional(DispositionText),
  filename: Type.Optional(Filename),
  expiresInSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_URL_TTL_SECONDS, description: 'How long the URL lives, from now; at most what the policy says. When left out, it is that much from the beginning of a window on in which everyone gets the same URL, and at least two thirds of it are left.' }))
}, { additionalProperties: false })
export type CreateDownloadBody = Static<typeof CreateDownloadBody>

export const DownloadReply = Type.Object({
  file: Type.Ref('File'),
  download: Type.Object({
    method: StringEnum(['GET', 'HEAD']),
    url: Type.String({ format: 'uri', description: 'A secret: whoever has it can read the file until it expires.' }),
    headers: Type.Record(Type.String(), Type.String(), { description: 'Send exactly these headers.' }),
    disposition: DispositionText,
    expiresAt: Type.String({ format: 'date-time', description: 'When the URL ends; the same as in the URL.' })
  })
})

export const DownloadParams = Type.Object({ fileId: FileIdText })
export const DownloadQuery = Type.Object({ disposition: Type.Optional(DispositionText) }, { additionalProperties: false })
