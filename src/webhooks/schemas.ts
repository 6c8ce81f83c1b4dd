import { Type, type Static } from '@sinclair/typebox'
import { FILE_EVENT_TYPES, type FileEventType } from '../files/file-events.js'
import { FileIdText, ONE_LINE_RULE } from '../files/schemas.js'
import { StringEnum } from '../string-enum.js'
import { DELIVERY_STATUSES, type Delivery } from './delivery-list.js'

const Time = (description: string) => Type.String({ format: 'date-time', description, examples: ['2026-11-25T09:30:00.000Z'] })

export const DeliveryBody = Type.Object({
  id: Type.String({ description: 'The `webhook-id`: the same at every attempt and replay.' }),
  endpoint: Type.String({ description: 'The name of the webhook in the policies file.' }),
  fileId: FileIdText,
  type: StringEnum(FILE_EVENT_TYPES),
  sequence: Type.Integer({ description: 'Larger for later events of the same file.' }),
  status: StringEnum(DELIVERY_STATUSES, { description: '`dead` is what failed for the last time, or whose webhook is disabled.' }),
  attempts: Type.Integer({ minimum: 0, description: 'How often it was tried since the last replay.' }),
  createdAt: Time('When the file changed.'),
  nextAttemptAt: Type.Optional(Time('When it is tried next; while pending. An event waits for the earlier ones of its file.')),
  deliveredAt: Type.Optional(Time('When the receiver took it.')),
  deadAt: Type.Optional(Time('When it was given up.')),
  lastStatus: Type.Optional(Type.Integer({ description: 'The HTTP status of the last answer.' })),
  lastError: Type.Optional(Type.String({ description: 'Why the last attempt failed, in words.' }))
}, { $id: 'WebhookDelivery', additionalProperties: false, description: 'What became of one event at one webhook.' })
export type DeliveryBody = Static<typeof DeliveryBody>

export function toDeliveryBody (delivery: Delivery): DeliveryBody {
  return {
    id: delivery.id,
    endpoint: delivery.endpoint,
    fileId: delivery.fileId,
    type: delivery.type as FileEventType,
    sequence: delivery.sequence,
    status: delivery.status,
    attempts: delivery.attempts,
    createdAt: delivery.createdAt.toISOString(),
    ...(delivery.status === 'pending' && { nextAttemptAt: delivery.nextAttemptAt.toISOString() }),
    ...(delivery.deliveredAt && { deliveredAt: delivery.deliveredAt.toISOString() }),
    ...(delivery.deadAt && { deadAt: delivery.deadAt.toISOString() }),
    ...(delivery.lastStatus !== null && { lastStatus: delivery.lastStatus }),
    ...(delivery.lastError !== null && { lastError: delivery.lastError })
  }
}

export const ListDeliveriesQuery = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 50, description: 'How many deliveries a page holds at most.' })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 512, description: 'The `nextCursor` of the page before.' })),
  status: Type.Optional(StringEnum(DELIVERY_STATUSES, { description: 'Only deliveries in this state.' })),
  endpoint: Type.Optional(Type.String({ minLength: 1, maxLength: 64, pattern: ONE_LINE_RULE, description: 'Only those to this webhook.' })),
  fileId: Type.Optional(FileIdText)
}, { additionalProperties: false })
export type ListDeliveriesQuery = Static<typeof ListDeliveriesQuery>

export const DeliveryListReply = Type.Object({
  data: Type.Array(Type.Ref('WebhookDelivery')),
  nextCursor: Type.Optional(Type.String({ description: 'Bring it back as `cursor` for the next page; left out on the last one.' }))
})

export const DeliveryParams = Type.Object({ id: Type.String({ pattern: '^[A-Za-z0-9-]{1,64}$', description: 'The `webhook-id`.' }) })
export const DeliveryReply = Type.Object({ delivery: Type.Ref('WebhookDelivery') })

/** The body of a webhook. */
export const FileEvent = Type.Object({
  type: StringEnum(FILE_EVENT_TYPES),
  timestamp: Time('When the file changed.'),
  data: Type.Object({
    id: FileIdText,
    policy: Type.String(),
    owner: Type.String({ description: 'The owner claim of the token that created the file.' }),
    tenant: Type.Optional(Type.String({ description: 'The tenant claim, where tenants are configured.' })),
    filename: Type.String(),
    contentType: Type.String(),
    sizeBytes: Type.Optional(Type.Integer({ minimum: 0, description: 'Bytes; left out where nobody knows.' })),
    metadata: Type.Record(Type.String(), Type.String()),
    rejectedReason: Type.Optional(Type.String({ description: 'With `file.rejected`: why, in words.' })),
    bucket: Type.Optional(Type.String({ description: 'Only with `includeKey`.' })),
    key: Type.Optional(Type.String({ description: 'Only with `includeKey`.' })),
    sequence: Type.Integer({ description: 'Larger for later events of the same file.' })
  })
}, { $id: 'FileEvent', description: 'A change of a file.' })

const DESCRIPTIONS: Readonly<Record<FileEventType, [summary: string, description: string]>> = {
  'file.scanning': ['A file waits for the scanner', 'It is what was promised, and nobody can download it yet. A scanner asks POST /downloads for the bytes, with a token of the scope `files:scan`, and answers by POST /files/{id}/verdict.'],
  'file.ready': ['A file is ready', 'What arrived is what was promised: the file can be downloaded. For a file whose content was replaced, it comes again.'],
  'file.rejected': ['A file was rejected', 'What arrived is not what was promised, and it is deleted.'],
  'file.expired': ['An upload ended without a file', 'It was given up by its owner, or nothing came in time.'],
  'file.deleted': ['A file was deleted', 'Its owner, an administrator or the policy has ended it.'],
  'file.missing': ['The object of a file is gone', 'The file is ready and its object is not in the bucket. Nothing is changed by this.']
}

/** The `webhooks` section of the description. */
export function describeWebhooks (): Record<string, object> {
  const header = (name: string, description: string) => ({ name, in: 'header', required: true, description, schema: { type: 'string' } })
  return Object.fromEntries(FILE_EVENT_TYPES.map(type => {
    const [summary, description] = DESCRIPTIONS[type]
    return [type, {
      post: {
        operationId: `on${type.split('.').map(word => `${word[0]?.toUpperCase()}${word.slice(1)}`).join('')}`,
        tags: ['webhooks'],
        summary,
        description: `${description} Sent to each webhook of the policies file that wants it, signed by Standard Webhooks 1.0.`,
        security: [],
        parameters: [
          header('webhook-id', 'The same at every attempt: what to tell a repeat by.'),
          header('webhook-timestamp', 'When this attempt was made, in seconds since 1970.'),
          header('webhook-signature', 'One or more signatures with spaces between: `v1,` and base64.')
        ],
        requestBody: { required: true, content: { 'application/json': { schema: { $ref: '#/components/schemas/FileEvent' } } } },
        responses: {
          '2XX': { description: 'The receiver has it.' },
          410: { description: 'The receiver wants no more: the webhook is disabled.' },
          default: { description: 'Anything else, a redirect too, is tried again for about three days.' }
        }
      }
    }]
  }))
}
