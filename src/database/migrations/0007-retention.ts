import { sql, type Kysely, type Migration } from 'kysely'

/** Ready files by age: what a policy's retention is looked up by, whenever it came into the policies file. */
export const retention: Migration = {
  async up (database: Kysely<unknown>): Promise<void> {
    await database.schema.createIndex('files_by_age').on('files').columns(['policy', 'ready_at']).where(sql.ref('status'), '=', sql.lit('ready')).execute()
  }
}
