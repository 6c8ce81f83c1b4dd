import { Type } from '@sinclair/typebox'

export const NotificationBody = Type.Unknown({ description: 'A notification of S3, MinIO or Ceph, an event of EventBridge, or a message of SNS with one of them inside.' })

export const NotificationReply = Type.Object({ received: Type.Integer({ minimum: 0, description: 'How many objects it told of.' }) })
