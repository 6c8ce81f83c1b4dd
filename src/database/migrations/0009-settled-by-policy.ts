import { sql, type Kysely, type Migration } from 'kysely'

/**
 * Uploads that are under way are few for each owner, and found among all of theirs: an entry for each of them cost more than it
 * saved.
 */
export const settledByPolicy: Migration = {
  async up (database: Kysely<unknown>): Promise<void> {
    await database.schema.dropIndex('files_by_owner_and_policy').execute()
    await sql`create index files_by_owner_and_policy on files (tenant, owner, status, policy, created_at, id) where status not in ('pending', 'verifying')`.execute(database)
  }
}
