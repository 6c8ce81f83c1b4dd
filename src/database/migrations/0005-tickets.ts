import type { Kysely, Migration } from 'kysely'

/** Upload tickets, and finding uploads by the name that Uppy's clients know them by. */
export const tickets: Migration = {
  async up (database: Kysely<unknown>): Promise<void> {
    await database.schema.createTable('upload_tickets')
      .addColumn('id', 'text', column => column.primaryKey())
      .addColumn('token_hash', 'text', column => column.notNull().unique())
      .addColumn('tenant', 'text', column => column.notNull())
      .addColumn('owner', 'text', column => column.notNull())
      .addColumn('policy', 'text', column => column.notNull())
      .addColumn('scopes', 'text', column => column.notNull())
      .addColumn('claims', 'text', column => column.notNull())
      .addColumn('max_files', 'bigint', column => column.notNull())
      .addColumn('max_bytes', 'bigint', column => column.notNull())
      .addColumn('used_files', 'bigint', column => column.notNull())
      .addColumn('used_bytes', 'bigint', column => column.notNull())
      .addColumn('created_at', 'bigint', column => column.notNull())
      .addColumn('expires_at', 'bigint', column => column.notNull())
      .addColumn('revoked_at', 'bigint')
      .execute()
    await database.schema.createIndex('upload_tickets_by_owner').on('upload_tickets').columns(['tenant', 'owner', 'created_at']).execute()
    await database.schema.createIndex('upload_tickets_by_expiry').on('upload_tickets').column('expires_at').execute()

    const files = database as Kysely<{ files: { multipart_upload_id: string | null } }>
    await files.schema.createIndex('files_by_multipart_upload').on('files')
      .column('multipart_upload_id').where('multipart_upload_id', 'is not', null).execute()
  }
}
