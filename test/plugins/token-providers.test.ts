import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { exportJWK, SignJWT } from 'jose'
import { startService } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'

/** The configurations in the documentation, by the name behind `sh`. */
const documented = new Map([...readFileSync('docs/tokens.md', 'utf8').matchAll(/^```sh (\S+)\n([^`]+)^```/gm)].map(([, name, lines]) => [
  name as string, Object.fromEntries((lines as string).trim().split('\n').map(line => line.split(/=(.*)/s).slice(0, 2)))
]))

interface Provider {
  readonly alg: 'RS256' | 'ES256' | 'HS256'
  /** A token as the provider makes it; exp and iat are added. */
  readonly claims: Readonly<Record<string, unknown>>
  readonly owner: string
  /** A scope that the token carries, where the configuration maps one. */
  readonly scope?: string
  /** One change each that must make the token unwelcome. */
  readonly foreign: ReadonlyArray<Readonly<Record<string, unknown>>>
}

const providers: Readonly<Record<string, Provider>> = {
  auth0: {
    alg: 'RS256',
    claims: { iss: 'https://example.eu.auth0.com/', sub: 'auth0|65f0c0ffee', aud: ['https://files.example.com', 'https://example.eu.auth0.com/userinfo'], azp: 'spa', scope: 'openid profile', permissions: ['reports:write'] },
    owner: 'auth0|65f0c0ffee',
    scope: 'reports:write',
    foreign: [{ aud: 'https://other.example.com' }, { iss: 'https://example.eu.auth0.com' }]
  },
  cognito: {
    alg: 'RS256',
    claims: { iss: 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE', sub: 'f0e1d2c3-0000-4000-8000-000000000000', client_id: '1example23456789', token_use: 'access', scope: 'aws.cognito.signin.user.admin reports:write', username: 'ada' },
    owner: 'f0e1d2c3-0000-4000-8000-000000000000',
    scope: 'reports:write',
    foreign: [{ client_id: 'another' }, { client_id: undefined }, { client_id: undefined, aud: '1example23456789' }]
  },
  supabase: {
    alg: 'ES256',
    claims: { iss: 'https://example.supabase.co/auth/v1', sub: '0b8a4c1e-2f0d-4b7e-9a51-6f2b8f5c1a77', aud: 'authenticated', role: 'authenticated', aal: 'aal1', app_metadata: { provider: 'email', scopes: ['reports:write'] }, user_metadata: { scopes: ['files:admin'] } },
    owner: '0b8a4c1e-2f0d-4b7e-9a51-6f2b8f5c1a77',
    scope: 'reports:write',
    foreign: [{ aud: 'anon' }]
  },
  'supabase-secret': {
    alg: 'HS256',
    claims: { iss: 'https://example.supabase.co/auth/v1', sub: '0b8a4c1e-2f0d-4b7e-9a51-6f2b8f5c1a77', aud: 'authenticated', role: 'authenticated' },
    owner: '0b8a4c1e-2f0d-4b7e-9a51-6f2b8f5c1a77',
    foreign: [{ aud: 'anon' }, { sub: undefined, role: 'service_role' }]
  },
  clerk: {
    alg: 'RS256',
    claims: { iss: 'https://example.clerk.accounts.dev', sub: 'user_2abc', aud: 'presignd', azp: 'https://app.example.com', sid: 'sess_1', org_id: 'org_1', org_permissions: ['reports:write'] },
    owner: 'user_2abc',
    scope: 'reports:write',
    foreign: [{ aud: undefined }]
  },
  keycloak: {
    alg: 'RS256',
    claims: { iss: 'https://keycloak.example.com/realms/example', sub: 'c0ffee00-0000-4000-8000-000000000000', aud: ['presignd', 'account'], azp: 'web', typ: 'Bearer', realm_access: { roles: ['offline_access', 'reports:write'] }, scope: 'openid email' },
    owner: 'c0ffee00-0000-4000-8000-000000000000',
    scope: 'reports:write',
    foreign: [{ aud: 'account' }, { iss: 'https://keycloak.example.com/realms/other' }]
  },
  firebase: {
    alg: 'RS256',
    claims: { iss: 'https://securetoken.google.com/example-project', aud: 'example-project', sub: 'Zk3uid', user_id: 'Zk3uid', auth_time: 1, firebase: { sign_in_provider: 'google.com' } },
    owner: 'Zk3uid',
    foreign: [{ aud: 'other-project' }, { iss: 'https://securetoken.google.com/other-project' }, { sub: '' }]
  },
  authjs: {
    alg: 'HS256',
    claims: { sub: 'clx0user', aud: 'presignd' },
    owner: 'clx0user',
    foreign: [{ aud: undefined }, { exp: undefined }]
  }
}

const s3 = await startTestS3(t)
const keys = { RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }), ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }) }
const jwks = JSON.stringify({ keys: [{ ...await exportJWK(keys.RS256.publicKey), kid: 'RS256', use: 'sig' }, { ...await exportJWK(keys.ES256.publicKey), kid: 'ES256', use: 'sig' }] })
const issuer = createServer((_, reply) => reply.end(jwks))
await new Promise<void>(resolve => { issuer.listen(0, '127.0.0.1', resolve) })
t.teardown(() => { issuer.closeAllConnections(); issuer.close() })
const jwksUrl = `http://127.0.0.1:${(issuer.address() as AddressInfo).port}/`

t.test('every provider of the documentation is tried here', async t => {
  t.same([...documented.keys()].sort(), Object.keys(providers).sort())
})

for (const [name, { alg, claims, owner, scope, foreign }] of Object.entries(providers)) {
  t.test(name, async t => {
    const env = documented.get(name) ?? {}
    const isSecret = alg === 'HS256'
    // The keys come from here instead of the provider; issuer, audience and claims are those of the documentation.
    const { call } = await startService(t, s3, { env: { JWT_SECRET: undefined, ...env, ...(!isSecret && { JWT_JWKS_URL: jwksUrl }) } })
    const sign = async (change: Readonly<Record<string, unknown>> = {}) => {
      const now = Math.floor(Date.now() / 1000)
      const key: KeyObject | Uint8Array = isSecret ? new TextEncoder().encode(String(env['JWT_SECRET'])) : keys[alg].privateKey
      return await new SignJWT({ ...claims, iat: now, exp: now + 300, ...change }).setProtectedHeader({ alg, kid: alg, typ: 'JWT' }).sign(key)
    }
    const create = async (token: string, body: object = {}) => await call('POST', '/uploads', { token, body: { policy: 'notes', filename: 'a.txt', contentType: 'text/plain', sizeBytes: 1, ...body } })

    const created = await create(await sign())
    t.equal(created.statusCode, 201, created.body)
    t.equal(created.json().file.owner, owner)
    const report = { policy: 'reports', contentType: 'application/pdf', checksumSha256: '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' }
    const reported = await create(await sign({ department: 'finance' }), report)
    t.equal(reported.statusCode, scope === undefined ? 403 : 201, `scopes are ${scope === undefined ? 'not mapped' : 'mapped'}: ${reported.body}`)
    t.equal((await call('GET', '/files?owner=someone', { token: await sign() })).statusCode, 403, 'and none that the user could write')
    for (const change of foreign) t.equal((await create(await sign(change))).statusCode, 401, JSON.stringify(change))
  })
}
