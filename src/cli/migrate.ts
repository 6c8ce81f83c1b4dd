import { loadConfig } from '../config.js'
import { openDatabase } from '../database/database.js'
import { migrate } from '../database/migrate.js'

/** Applies what is missing and says what it was. Safe to run in several places at once. */
export async function migrateDatabase (env: Readonly<Record<string, string | undefined>>): Promise<void> {
  const database = openDatabase(loadConfig(env).database.url, { onError: () => {} })
  try {
    const applied = await migrate(database)
    process.stdout.write(applied.length > 0 ? `migrated: ${applied.join(', ')}\n` : 'nothing to migrate\n')
  } finally {
    await database.destroy()
  }
}
