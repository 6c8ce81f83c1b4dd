import { Type, type Static } from '@sinclair/typebox'
import { UPLOAD_METHODS, type Policy } from './policy.js'
import { StringEnum } from '../string-enum.js'

export const PolicyBody = Type.Object({
  name: Type.String({ examples: ['pictures'] }),
  contentTypes: Type.Array(Type.String(), { examples: [['image/png', 'image/jpeg']] }),
  accept: Type.String({ description: 'The content types as a file input takes them in its `accept` attribute.', examples: ['image/png,image/jpeg'] }),
  minSizeBytes: Type.Integer({ minimum: 0 }),
  maxSizeBytes: Type.Integer({ minimum: 0 }),
  methods: Type.Array(StringEnum(UPLOAD_METHODS)),
  multipartThresholdBytes: Type.Integer({ description: 'With the method `auto`, larger files go up in parts.' }),
  quota: Type.Object({ files: Type.Optional(Type.Integer()), bytes: Type.Optional(Type.Integer()), pending: Type.Optional(Type.Integer()) }, { description: 'What one owner may hold; a limit that is left out does not exist. GET /usage tells what is held.' }),
  visibility: StringEnum(['private', 'authenticated', 'public']),
  scanned: Type.Boolean({ description: 'Whether files wait for the verdict of a scanner, as `scanning`, before they are ready.' }),
  retentionDays: Type.Optional(Type.Integer({ description: 'After how many days files are deleted; left out when they are kept.' })),
  checksumRequired: Type.Boolean({ description: 'Whether `checksumSha256` must be given.' }),
  uploadUrlTtlSeconds: Type.Integer(),
  downloadUrlTtlSeconds: Type.Integer()
}, { $id: 'Policy', additionalProperties: false, description: 'What may be uploaded, in the terms that a file picker needs.' })
export type PolicyBody = Static<typeof PolicyBody>

export const PolicyListReply = Type.Object({ data: Type.Array(Type.Ref('Policy')) })

export function toPolicyBody (policy: Policy): PolicyBody {
  return {
    name: policy.name,
    contentTypes: [...policy.contentTypes],
    accept: policy.contentTypes.join(','),
    minSizeBytes: policy.minSizeBytes,
    maxSizeBytes: policy.maxSizeBytes,
    methods: [...policy.methods],
    multipartThresholdBytes: policy.multipartThresholdBytes,
    quota: policy.quota,
    visibility: policy.visibility,
    scanned: policy.scan !== null,
    ...(policy.retentionDays !== null && { retentionDays: policy.retentionDays }),
    checksumRequired: policy.checksumRequired,
    uploadUrlTtlSeconds: policy.uploadUrlTtlSeconds,
    downloadUrlTtlSeconds: policy.downloadUrlTtlSeconds
  }
}
