import { randomUUID } from 'node:crypto'
import type { Kysely } from 'kysely'
import { pino, type Logger } from 'pino'
import type { Config } from './config.js'
import { openDatabase, sharedSecret } from './database/database.js'
import { isMigrated, migrate } from './database/migrate.js'
import type { Database } from './database/schema.js'
import { createFilesRepository, type FilesRepository } from './files/files-repository.js'
import type { ObjectStorage } from './object-storage/object-storage.js'
import { createS3ObjectStorage } from './object-storage/s3.js'
import { loadPolicies } from './policies/load-policies.js'
import type { Policies } from './policies/policy.js'

/** Everything that a use case may need. Built once and passed on; a test passes another one. */
export interface Services {
  readonly config: Config
  readonly log: Logger
  readonly database: Kysely<Database>
  readonly files: FilesRepository
  readonly objectStorage: ObjectStorage
  readonly policies: Policies
  /** Signs list cursors; the same for every process on one database. */
  readonly cursorSecret: Buffer
  now (): Date
  /** A new id that nobody can guess. */
  newId (): string
}

/**
 * Opens the database (and migrates it when configured), reads the policies and prepares the client of the store.
 * @throws {PolicyFileError} and whatever the database says when it cannot be reached
 */
export async function createServices (config: Config, log: Logger = createLog(config)): Promise<Services> {
  const policies = loadPolicies(config.policiesFile, config)
  const database = openDatabase(config.database.url, { onError: error => log.warn({ err: error }, 'a database connection broke') })
  try {
    if (config.database.migrateAtStart) {
      for (const name of await migrate(database)) log.info({ migration: name }, 'migrated the database')
    } else if (!await isMigrated(database)) {
      throw new Error('The database lacks migrations: run "presignd migrate", or set DATABASE_MIGRATE=true')
    }
    return {
      config,
      log,
      database,
      files: createFilesRepository(database),
      objectStorage: createS3ObjectStorage(config.s3),
      policies,
      cursorSecret: await sharedSecret(database, 'cursor'),
      now: () => new Date(),
      newId: randomUUID
    }
  } catch (error) {
    await database.destroy()
    throw error
  }
}

export async function closeServices (services: Services): Promise<void> {
  services.objectStorage.close()
  await services.database.destroy()
}

/** What must never be read in a log, wherever it turns up: tokens and signed URLs. */
const SECRET_PATHS = ['authorization', 'cookie', 'url', 'headers', 'fields', 'query'].flatMap(name => [name, `*.${name}`, `*.*.${name}`])

export function createLog (config: Config, stream?: NodeJS.WritableStream): Logger {
  return pino({ level: config.logLevel, base: null, redact: { paths: SECRET_PATHS, censor: '[redacted]' } }, stream ?? pino.destination(1))
}
