import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import { parseArgs } from 'node:util'
import { ConfigError, loadConfig, type JwtConfig } from '../config.js'
import { ApiError } from '../errors.js'
import { findTokenUser } from '../plugins/find-token-user.js'
import { createReadings } from '../readings.js'
import { SIGNATURE_BYTES } from '../uploads/content-signature.js'
import { explainUpload, renderExpectedKey, type Step } from '../uploads/explain-upload.js'
import type { CreateUploadBody } from '../uploads/schemas.js'

type Env = Readonly<Record<string, string | undefined>>

/** Besides 0, that the upload would be accepted. */
const REFUSED = 1

const OPTIONS = {
  policy: { type: 'string' },
  token: { type: 'string' },
  type: { type: 'string' },
  size: { type: 'string' },
  name: { type: 'string' },
  method: { type: 'string' },
  sha256: { type: 'string' }
} as const

/**
 * Prints each check of `POST /uploads` with its result and what to change, for the configuration of the environment.
 * @param args `--policy NAME --token TOKEN --type TYPE (--size BYTES --name NAME | FILE) [--method METHOD] [--sha256 BASE64]`
 * @returns the exit code: 0 when the upload would be accepted, 1 when it would be refused
 */
export async function explainUploadCommand (env: Env, args: readonly string[]): Promise<number> {
  const { token, body, firstBytes } = await readRequest(args)
  const config = loadConfig(env)
  const readings = createReadings(config)
  const refusals: ApiError[] = []
  const print = ({ check, found, refusal }: Step): void => {
    process.stdout.write(`${refusal ? '✗' : '✓'} ${check.padEnd(14)} ${found}\n`)
    if (!refusal) return
    process.stdout.write(`${' '.repeat(17)}→ ${refusal.change}\n`)
    refusals.push(refusal.error)
  }

  const user = await findTokenUser(token, { ...config.jwt, now: () => new Date() }).catch((error: unknown) => {
    if (!(error instanceof ApiError)) throw error
    print({ check: 'token', found: error.detail, refusal: { error, change: explainToken(error, config.jwt) } })
  })
  if (user) {
    print({ check: 'token', found: `${user.owner}${user.tenant && ` of ${user.tenant}`}, with ${user.scopes.size === 0 ? 'no scopes' : [...user.scopes].join(' ')}` })
    for await (const step of explainUpload(readings, user, body, firstBytes)) print(step)
    const policy = readings.policies.get(body.policy)
    if (policy && refusals.length === 0) print({ check: 'key', found: renderExpectedKey(policy, user, body.filename) })
  }
  const [first] = refusals
  process.stdout.write(first ? `\nRefused: ${first.status} ${first.code}\n` : '\nAccepted\n')
  return first ? REFUSED : 0
}

/** What the operator may know and a client may not: which check of the token it was. */
function explainToken (error: ApiError, jwt: JwtConfig): string {
  const reason = error.cause instanceof Error ? error.cause.message.replace(/^Authorization token is invalid: /, '') : ''
  const changes: ReadonlyArray<readonly [RegExp, string]> = [
    [/expired/i, 'Get a new one.'],
    [/signature/i, 'secret' in jwt.keys ? 'It is signed with another secret than JWT_SECRET.' : 'It is signed with a key that its issuer does not publish.'],
    [/algorithm/i, 'secret' in jwt.keys ? 'JWT_SECRET is for HS256, HS384 and HS512: for tokens of a provider set JWT_ISSUER instead.' : 'Keys of a provider are for RS256, PS256, ES256 and EdDSA: a token of a shared secret needs JWT_SECRET.'],
    [/\baud\b/, `The claim "${jwt.audienceClaim}" must name one of JWT_AUDIENCE: ${jwt.audiences?.join(', ')}.`],
    [/\biss\b/, `The claim "iss" must be JWT_ISSUER: ${jwt.issuer}.`],
    [/\bexp\b|required claim/i, 'It must have the claims exp, aud, and with JWT_ISSUER iss.']
  ]
  const change = changes.find(([pattern]) => pattern.test(reason))?.[1] ?? 'Send a JWT as it is: three parts with dots between.'
  return reason === '' ? change : `${reason.replace(/\.?$/, '.')} ${change}`
}

interface Request {
  readonly token: string
  readonly body: CreateUploadBody
  readonly firstBytes?: Uint8Array
}

async function readRequest (args: readonly string[]): Promise<Request> {
  const { values, path } = parse(args)
  const file = path === undefined ? undefined : await readBeginning(path)
  const { policy = '', token = '', type = '', name = file?.name ?? '', size, method, sha256 } = values
  const problems = Object.entries({ policy, token, type, name }).filter(([, value]) => value === '').map(([option]) => `--${option} is missing`)
  if (size !== undefined && !/^\d+$/.test(size)) problems.push('--size must be a number of bytes')
  if (problems.length > 0) throw new ConfigError(problems)
  const sizeBytes = size === undefined ? file?.sizeBytes : Number(size)
  return {
    token: token.replace(/^Bearer +/i, ''),
    body: {
      policy,
      filename: name,
      contentType: type,
      ...(sizeBytes !== undefined && { sizeBytes }),
      // One that there is not is told by the check of the request.
      ...(method !== undefined && { method: method as NonNullable<CreateUploadBody['method']> }),
      ...(sha256 !== undefined && { checksumSha256: sha256 })
    },
    ...(file && { firstBytes: file.firstBytes })
  }
}

function parse (args: readonly string[]) {
  try {
    const { values, positionals } = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true })
    if (positionals.length > 1) throw new Error('One file at a time can be explained.')
    return { values, path: positionals[0] }
  } catch (error) {
    throw new ConfigError([(error as Error).message])
  }
}

async function readBeginning (path: string): Promise<{ name: string, sizeBytes: number, firstBytes: Uint8Array }> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(SIGNATURE_BYTES), 0, SIGNATURE_BYTES, 0)
    return { name: basename(path), sizeBytes: (await file.stat()).size, firstBytes: buffer.subarray(0, bytesRead) }
  } finally {
    await file.close()
  }
}
