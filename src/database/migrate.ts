import { DEFAULT_MIGRATION_TABLE, Migrator, sql, type Kysely } from 'kysely'
import { openDatabase } from './database.js'
import type { Database } from './schema.js'
import { files } from './migrations/0001-files.js'
import { roads } from './migrations/0002-roads.js'
import { due } from './migrations/0003-due.js'
import { outbox } from './migrations/0004-outbox.js'
import { tickets } from './migrations/0005-tickets.js'
import { inventory } from './migrations/0006-inventory.js'
import { retention } from './migrations/0007-retention.js'
import { sparseKeys } from './migrations/0008-sparse-keys.js'
import { settledFiles } from './migrations/0009-settled-files.js'
import { webhookUrls } from './migrations/0010-webhook-urls.js'

/** In order; an entry that was released is never changed. */
const migrations = {
  '0001-files': files,
  '0002-roads': roads,
  '0003-due': due,
  '0004-outbox': outbox,
  '0005-tickets': tickets,
  '0006-inventory': inventory,
  '0007-retention': retention,
  '0008-sparse-keys': sparseKeys,
  '0009-settled-files': settledFiles,
  '0010-webhook-urls': webhookUrls
}

/**
 * Applies what is missing, under a lock that other processes wait for: each migration runs once.
 * @returns the names of the migrations that were applied
 */
export async function migrate (database: Kysely<Database>): Promise<string[]> {
  try {
    // A later version may have applied more, which the migrator would not put up with. It has only added: this one can go on.
    if (await isMigrated(database)) return []
    const { error, results } = await migrator(database).migrateToLatest()
    if (error) throw await findConflict(database) ?? error
    return (results ?? []).map(result => result.migrationName)
  } catch (error) {
    throw new Error('The database of DATABASE_URL could not be migrated', { cause: error })
  }
}

/**
 * As `migrate`, for as long as it takes on PostgreSQL: an index of a large table or the lock of another process may keep it
 * waiting longer than a request may wait.
 * @param opened what is open at `url` already; SQLite is migrated by it
 */
export async function migrateAt (url: string, opened?: Kysely<Database>): Promise<string[]> {
  if (opened && url.startsWith('sqlite:')) return await migrate(opened)
  const database = openDatabase(url, { onError: () => {}, isMigrating: true })
  try {
    return await migrate(database)
  } finally {
    await database.destroy()
  }
}

export async function isMigrated (database: Kysely<Database>): Promise<boolean> {
  return (await migrator(database).getMigrations()).every(migration => migration.executedAt !== undefined)
}

/** What no version of this service leaves behind: something of ours is missing beside something that we do not know. */
async function findConflict (database: Kysely<Database>): Promise<Error | null> {
  const { rows } = await sql<{ name: string }>`select name from ${sql.table(DEFAULT_MIGRATION_TABLE)} order by name`.execute(database).catch(() => ({ rows: [] }))
  const applied = rows.map(({ name }) => name)
  const unknown = applied.filter(name => !Object.hasOwn(migrations, name))
  const missing = Object.keys(migrations).filter(name => !applied.includes(name))
  if (unknown.length === 0 || missing.length === 0) return null
  return new Error(`it has ${unknown.join(', ')}, which this version does not know, and lacks ${missing.join(', ')}: start the version that has made it, or give this one a database of its own`)
}

function migrator (database: Kysely<Database>): Migrator {
  return new Migrator({ db: database, provider: { getMigrations: async () => migrations } })
}
