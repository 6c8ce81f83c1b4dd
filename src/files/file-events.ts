import type { Transaction } from 'kysely'
import type { Database } from '../database/schema.js'
import type { File } from './file.js'

/** What happens to files and is worth telling. */
export const FILE_EVENT_TYPES = ['file.scanning', 'file.ready', 'file.rejected', 'file.expired', 'file.deleted', 'file.missing'] as const
export type FileEventType = typeof FILE_EVENT_TYPES[number]

/** Who wants to know of changes. */
export interface FileEvents {
  /** Takes part in the transaction of the change: when this fails, the change does not happen either. */
  record (transaction: Transaction<Database>, type: FileEventType, file: File, at: Date): Promise<void>
  /** The transaction is committed. */
  committed (type: FileEventType, file: File): void
}

/** Where nobody wants to know, changes cost nothing more. */
export const NO_EVENTS: FileEvents = { record: async () => {}, committed: () => {} }
