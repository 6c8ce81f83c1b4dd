import { Type } from '@sinclair/typebox'

const Counters = { files: Type.Optional(Type.Integer()), bytes: Type.Optional(Type.Integer()), pending: Type.Optional(Type.Integer()) }

export const UsageReply = Type.Object({
  data: Type.Array(Type.Object({
    policy: Type.String(),
    files: Type.Integer({ minimum: 0, description: 'Files that are ready, and uploads that are not complete.' }),
    bytes: Type.Integer({ minimum: 0, description: 'Bytes of those files, and bytes reserved for those uploads.' }),
    pending: Type.Integer({ minimum: 0, description: 'Uploads that are not complete.' }),
    limits: Type.Object(Counters, { description: 'What the policy allows; a limit that is left out does not exist.' })
  }), { description: 'One entry per policy.' })
})
