import { existsSync } from 'node:fs'
import type { Config } from './config.js'
import { openDatabase, query } from './database/database.js'
import { isMigrated } from './database/migrate.js'
import { ApiError } from './errors.js'
import { NO_EVENTS } from './files/file-events.js'
import { createFilesRepository, type FilesRepository } from './files/files-repository.js'
import { loadPolicies } from './policies/load-policies.js'
import type { Policies } from './policies/policy.js'

/** What can be looked at without changing anything. */
export interface Readings {
  readonly config: Config
  readonly policies: Policies
  /** @throws {ApiError} NOT_READY */
  usageOf (user: { readonly tenant: string, readonly owner: string }): Promise<Awaited<ReturnType<FilesRepository['usageOf']>>>
}

/** Reads the policies, and the database when it is asked for: nothing is made, migrated or locked, and the store is left alone. */
export function createReadings (config: Config): Readings {
  return {
    config,
    policies: loadPolicies(config.policiesFile, config).policies,
    async usageOf ({ tenant, owner }) {
      const { url, migrateAtStart } = config.database
      if (url.startsWith('sqlite:') && !existsSync(url.slice('sqlite:'.length))) return new Map()
      const database = openDatabase(url, { onError: () => {}, isReadOnly: true })
      try {
        if (await query(async () => await isMigrated(database))) return await createFilesRepository(database, NO_EVENTS).usageOf(tenant, owner)
        if (migrateAtStart) return new Map()
        throw new ApiError('NOT_READY', 'The database lacks migrations.')
      } finally {
        await database.destroy()
      }
    }
  }
}
