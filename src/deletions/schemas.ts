import { Type } from '@sinclair/typebox'
import { FileIdText } from '../files/schemas.js'
import { StringEnum } from '../string-enum.js'

export const CreateDeletionBody = Type.Object({ fileId: FileIdText }, { additionalProperties: false })

export const DeletionReply = Type.Object({
  deletion: Type.Object({
    method: StringEnum(['DELETE']),
    url: Type.String({ format: 'uri', description: 'A secret: whoever has it can delete the object.' }),
    headers: Type.Record(Type.String(), Type.String(), { description: 'Send exactly these headers.' }),
    expiresAt: Type.String({ format: 'date-time' })
  })
})
