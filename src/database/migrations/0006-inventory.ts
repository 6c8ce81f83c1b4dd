import { PostgresAdapter, sql, type Kysely, type Migration } from 'kysely'

/** Rows in the order in which a bucket lists its keys, so that the two can be compared side by side. */
export const inventory: Migration = {
  async up (database: Kysely<unknown>): Promise<void> {
    const isPostgres = database.getExecutor().adapter instanceof PostgresAdapter
    await sql`create index files_by_object on files (bucket, ${sql.raw(isPostgres ? 'object_key collate "C"' : 'object_key')})`.execute(database)
  }
}
