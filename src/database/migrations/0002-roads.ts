import type { Kysely, Migration } from 'kysely'

/** Forms and multipart uploads, quotas, idempotency keys. */
export const roads: Migration = {
  async up (database: Kysely<unknown>): Promise<void> {
    await database.schema.alterTable('files').addColumn('method', 'text', column => column.notNull().defaultTo('PUT')).execute()
    await database.schema.alterTable('files').addColumn('part_size_bytes', 'bigint').execute()
    await database.schema.alterTable('files').addColumn('checksum_crc32', 'text').execute()
    await database.schema.alterTable('files').addColumn('checksum_crc32c', 'text').execute()
    // What the row counts for in its owner's usage: given back exactly when the row ends.
    await database.schema.alterTable('files').addColumn('reserved_bytes', 'bigint', column => column.notNull().defaultTo(0)).execute()
    await database.schema.createIndex('files_by_idempotency_key').unique().on('files')
      .columns(['tenant', 'owner', 'idem_key']).execute()

    await database.schema.createTable('usage')
      .addColumn('tenant', 'text', column => column.notNull())
      .addColumn('owner', 'text', column => column.notNull())
      .addColumn('policy', 'text', column => column.notNull())
      .addColumn('files', 'bigint', column => column.notNull())
      .addColumn('bytes', 'bigint', column => column.notNull())
      .addColumn('pending', 'bigint', column => column.notNull())
      .addPrimaryKeyConstraint('usage_primary', ['tenant', 'owner', 'policy'])
      .execute()
    await countUsage(database as Kysely<Counted>)
  }
}

interface Counted {
  files: { tenant: string, owner: string, policy: string, status: string, size_bytes: number, reserved_bytes: number }
  usage: { tenant: string, owner: string, policy: string, files: number, bytes: number, pending: number }
}

/** Files from before there were quotas count, too. */
async function countUsage (database: Kysely<Counted>): Promise<void> {
  const counted = ['pending', 'verifying', 'ready']
  await database.updateTable('files').set(row => ({ reserved_bytes: row.ref('size_bytes') })).where('status', 'in', counted).execute()
  await database.insertInto('usage').columns(['tenant', 'owner', 'policy', 'files', 'bytes', 'pending'])
    .expression(database.selectFrom('files').where('status', 'in', counted).groupBy(['tenant', 'owner', 'policy']).select(select => [
      'tenant', 'owner', 'policy',
      select.fn.countAll<number>().as('files'),
      select.fn.sum<number>('reserved_bytes').as('bytes'),
      select.fn.sum<number>(select.case().when('status', '=', 'ready').then(0).else(1).end()).as('pending')
    ])).execute()
}
