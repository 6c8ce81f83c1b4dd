import { Type, type Static } from '@sinclair/typebox'
import { FILE_EVENT_TYPES, type FileEventType } from '../files/file-events.js'
import { StringEnum } from '../string-enum.js'

/** One webhook as it is written in the policies file. */
export const WebhookEntry = Type.Object({
  url: Type.String({ minLength: 1, maxLength: 2048 }),
  events: Type.Optional(Type.Array(StringEnum(FILE_EVENT_TYPES), { minItems: 1, uniqueItems: true })),
  policies: Type.Optional(Type.Array(Type.String({ minLength: 1 }), { minItems: 1, uniqueItems: true })),
  secretFrom: Type.String({ pattern: '^[A-Z][A-Z0-9_]{0,99}$' }),
  includeKey: Type.Optional(Type.Boolean()),
  allowPrivateAddresses: Type.Optional(Type.Boolean())
}, { additionalProperties: false })
export type WebhookEntry = Static<typeof WebhookEntry>

/** One webhook as the service uses it. */
export interface WebhookEndpoint {
  readonly name: string
  readonly url: URL
  readonly events: ReadonlySet<FileEventType>
  /** Null is every policy. */
  readonly policies: ReadonlySet<string> | null
  /** The keys of the signatures: the present one and, while it is rotated, the one before. */
  readonly secrets: readonly Buffer[]
  /** Whether the body tells where the object is. */
  readonly includeKey: boolean
  /** Whether the receiver may be on a private network. Plain http is for such receivers alone. */
  readonly allowPrivateAddresses: boolean
}
