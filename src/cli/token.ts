import { parseArgs } from 'node:util'
import { SignJWT } from 'jose'
import { ConfigError, loadConfig } from '../config.js'

const DEFAULT_EXPIRES_IN_SECONDS = 3600
const MAX_EXPIRES_IN_SECONDS = 30 * 24 * 3600

/**
 * A token for the configured secret, for trying things out and for back ends: signed with HS256, for the
 * configured audience and issuer.
 * @param args `--sub NAME [--scope "a b"] [--tenant NAME] [--expires-in SECONDS]`
 */
export async function createToken (env: Readonly<Record<string, string | undefined>>, args: readonly string[]): Promise<string> {
  const { jwt } = loadConfig(env)
  const { sub, scope, tenant, expiresInSeconds } = parseTokenArgs(args)
  if (!('secret' in jwt.keys)) throw new ConfigError(['JWT_SECRET is not set: tokens for public keys come from their issuer'])
  const claims = {
    [jwt.ownerClaim]: sub,
    ...(scope !== undefined && { [jwt.scopeClaim]: scope }),
    ...(tenant !== undefined && { [jwt.tenantClaim ?? 'tenant']: tenant })
  }
  const token = new SignJWT(claims).setProtectedHeader({ alg: 'HS256', typ: 'JWT' }).setIssuedAt().setExpirationTime(Math.floor(Date.now() / 1000) + expiresInSeconds)
  if (jwt.audiences?.[0] !== undefined) token.setAudience(jwt.audiences[0])
  if (jwt.issuer !== undefined) token.setIssuer(jwt.issuer)
  return await token.sign(new TextEncoder().encode(jwt.keys.secret))
}

function parseTokenArgs (args: readonly string[]) {
  const { values } = parse(args)
  const expiresInSeconds = Number(values['expires-in'] ?? DEFAULT_EXPIRES_IN_SECONDS)
  if (!values.sub) throw new ConfigError(['--sub is missing: it names the user, like --sub ada'])
  if (!Number.isInteger(expiresInSeconds) || expiresInSeconds < 1 || expiresInSeconds > MAX_EXPIRES_IN_SECONDS) {
    throw new ConfigError([`--expires-in must be a number of seconds from 1 to ${MAX_EXPIRES_IN_SECONDS}`])
  }
  return { sub: values.sub, scope: values.scope, tenant: values.tenant, expiresInSeconds }
}

function parse (args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: { sub: { type: 'string' }, scope: { type: 'string' }, tenant: { type: 'string' }, 'expires-in': { type: 'string' } }
    })
  } catch (error) {
    throw new ConfigError([(error as Error).message])
  }
}
