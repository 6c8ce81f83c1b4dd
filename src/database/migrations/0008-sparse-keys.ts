import type { Kysely, Migration } from 'kysely'

/** Most uploads come without an idempotency key: those need no entry. */
export const sparseKeys: Migration = {
  async up (database: Kysely<unknown>): Promise<void> {
    await database.schema.dropIndex('files_by_idempotency_key').execute()
    await (database as Kysely<{ files: { idem_key: string | null } }>).schema.createIndex('files_by_idempotency_key').unique().on('files')
      .columns(['tenant', 'owner', 'idem_key']).where('idem_key', 'is not', null).execute()
  }
}
