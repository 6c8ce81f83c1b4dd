import { loadConfig } from '../config.js'
import { migrateAt } from '../database/migrate.js'

/** Applies what is missing and says what it was. Safe to run in several places at once. */
export async function migrateDatabase (env: Readonly<Record<string, string | undefined>>): Promise<void> {
  const applied = await migrateAt(loadConfig(env).database.url)
  process.stdout.write(applied.length > 0 ? `migrated: ${applied.join(', ')}\n` : 'nothing to migrate\n')
}
