import { sql, type Kysely, type Migration } from 'kysely'

/** Events for webhooks, written with the change that they tell of and kept until they are delivered. */
export const outbox: Migration = {
  async up (database: Kysely<unknown>): Promise<void> {
    await database.schema.createTable('outbox')
      .addColumn('id', 'text', column => column.primaryKey())
      .addColumn('endpoint', 'text', column => column.notNull())
      .addColumn('tenant', 'text', column => column.notNull())
      .addColumn('file_id', 'text', column => column.notNull())
      .addColumn('type', 'text', column => column.notNull())
      .addColumn('sequence', 'integer', column => column.notNull())
      .addColumn('payload', 'text', column => column.notNull())
      .addColumn('created_at', 'bigint', column => column.notNull())
      .addColumn('attempts', 'integer', column => column.notNull())
      .addColumn('next_attempt_at', 'bigint', column => column.notNull())
      .addColumn('lease_token', 'text')
      .addColumn('lease_until', 'bigint')
      .addColumn('delivered_at', 'bigint')
      .addColumn('dead_at', 'bigint')
      .addColumn('last_status', 'integer')
      .addColumn('last_error', 'text')
      .execute()
    // One event per change and endpoint; also what a later event of a file finds the earlier ones by.
    await database.schema.createIndex('outbox_by_file').unique().on('outbox').columns(['endpoint', 'file_id', 'sequence']).execute()
    await database.schema.createIndex('outbox_by_next_attempt').on('outbox').columns(['endpoint', 'next_attempt_at'])
      .where(sql.ref('delivered_at'), 'is', null).where(sql.ref('dead_at'), 'is', null).execute()
    await database.schema.createIndex('outbox_by_tenant').on('outbox').columns(['tenant', 'created_at', 'id']).execute()
    await database.schema.createIndex('outbox_by_delivery').on('outbox').column('delivered_at').where('delivered_at', 'is not', null).execute()
    await database.schema.createIndex('outbox_by_death').on('outbox').column('dead_at').where('dead_at', 'is not', null).execute()

    // Endpoints that have asked for no more.
    await database.schema.createTable('disabled_webhooks')
      .addColumn('endpoint', 'text', column => column.primaryKey())
      .addColumn('url_hash', 'text', column => column.notNull())
      .addColumn('disabled_at', 'bigint', column => column.notNull())
      .execute()
  }
}
