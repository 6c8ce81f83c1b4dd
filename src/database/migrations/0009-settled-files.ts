import { PostgresAdapter, sql, type Kysely, type Migration } from 'kysely'

/**
 * An upload under way is found by its id, which its key contains, and those of one owner are few: entries for them in these two
 * cost each new upload more than they saved.
 */
export const settledFiles: Migration = {
  async up (database: Kysely<unknown>): Promise<void> {
    const isPostgres = database.getExecutor().adapter instanceof PostgresAdapter
    for (const [name, columns] of [
      ['files_by_owner_and_policy', 'tenant, owner, status, policy, created_at, id'],
      ['files_by_object', isPostgres ? 'bucket, object_key collate "C"' : 'bucket, object_key']
    ] as const) {
      await database.schema.dropIndex(name).execute()
      await sql`create index ${sql.ref(name)} on files (${sql.raw(columns)}) where status not in ('pending', 'verifying')`.execute(database)
    }
  }
}
