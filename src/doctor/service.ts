import { existsSync } from 'node:fs'
import type { Config } from '../config.js'
import { openDatabase } from '../database/database.js'
import { isMigrated } from '../database/migrate.js'
import { createKeySet } from '../plugins/key-set.js'
import { describeError } from './describe-error.js'
import { fail, ok, warn, type Probe } from './finding.js'

/** Asks and changes nothing: no migration is applied, and no SQLite file is made. */
const database: Probe<Config> = {
  id: 'database',
  async run (config) {
    const { url, migrateAtStart } = config.database
    const kind = url.startsWith('sqlite:') ? 'SQLite' : 'PostgreSQL'
    if (kind === 'SQLite' && !sqliteExists(url)) return [ok('database', 'there is no SQLite file yet: the first start makes it')]
    const opened = openDatabase(url, { onError: () => {}, isReadOnly: true })
    try {
      if (await isMigrated(opened)) return [ok('database', `${kind} answers`), ok('migrations', 'all are applied')]
      return [ok('database', `${kind} answers`), migrateAtStart
        ? warn('migrations', 'some are not applied yet: the next start applies them', 'start presignd, or run presignd migrate')
        : fail('migrations', 'some are not applied, and DATABASE_MIGRATE is false', 'run presignd migrate')]
    } catch (error) {
      return [fail('database', `${kind} does not answer (${describeError(error)})`, 'correct DATABASE_URL, or start the database')]
    } finally {
      await opened.destroy()
    }
  }
}

const tokenKeys: Probe<Config> = {
  id: 'token-keys',
  async run ({ jwt }) {
    if ('secret' in jwt.keys) return [ok('token-keys', 'tokens are checked with JWT_SECRET')]
    const { issuer, jwksUrl } = jwt.keys
    const name = jwksUrl === undefined ? 'JWT_ISSUER' : 'JWT_JWKS_URL'
    try {
      const keys = await createKeySet({ ...jwt.keys, now: () => new Date() }).fetchKeys()
      const usable = keys.filter(isUsable).length
      if (usable === 0) return [fail('token-keys', `${jwksUrl ?? issuer} has no key for RS256, PS256, ES256 or EdDSA`, `correct ${name}, or let the issuer sign with one of them`)]
      return [ok('token-keys', `${usable} public keys of ${issuer}`)]
    } catch (error) {
      return [fail('token-keys', `the keys of ${issuer} cannot be fetched (${describeError(error)})`, `correct ${name}, or let this machine through to it`)]
    }
  }
}

/** @see https://www.rfc-editor.org/rfc/rfc7518#section-3.1 and https://www.rfc-editor.org/rfc/rfc8037#section-3.1 */
function isUsable ({ kty, crv, use }: { readonly kty?: string, readonly crv?: string, readonly use?: string }): boolean {
  return use !== 'enc' && (kty === 'RSA' || (kty === 'EC' && crv === 'P-256') || (kty === 'OKP' && crv === 'Ed25519'))
}

function sqliteExists (url: string): boolean {
  const path = url.slice('sqlite:'.length)
  return path === ':memory:' || existsSync(path)
}

export const serviceProbes: ReadonlyArray<Probe<Config>> = [database, tokenKeys]
