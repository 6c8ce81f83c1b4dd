import type { Kysely, Migration } from 'kysely'

/** What the sweeper looks for: the few rows that wait for something, in the order in which they are due. */
export const due: Migration = {
  async up (database: Kysely<unknown>): Promise<void> {
    await (database as Kysely<{ files: { next_check_at: number | null } }>).schema.createIndex('files_by_next_check').on('files')
      .column('next_check_at').where('next_check_at', 'is not', null).execute()
  }
}
