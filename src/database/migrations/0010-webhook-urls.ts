import { sql, type Kysely, type Migration } from 'kysely'

/** The URLs of webhooks, each by itself: two versions of a policies file may be in use at once. */
export const webhookUrls: Migration = {
  async up (database: Kysely<unknown>): Promise<void> {
    await database.schema.createTable('webhook_urls')
      .addColumn('endpoint', 'text', column => column.notNull())
      .addColumn('url_hash', 'text', column => column.notNull())
      .addColumn('seen_at', 'bigint', column => column.notNull())
      .addColumn('disabled_at', 'bigint')
      .addPrimaryKeyConstraint('webhook_urls_key', ['endpoint', 'url_hash'])
      .execute()
    await sql`insert into webhook_urls (endpoint, url_hash, seen_at, disabled_at) select endpoint, url_hash, disabled_at, disabled_at from disabled_webhooks`.execute(database)
  }
}
