import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { exportJWK, SignJWT, type JWK } from 'jose'
import { ApiError } from '../../src/errors.js'
import { AUDIENCE, createTestToken, SECRET, startService, type TestService } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { until } from '../helpers/until.js'

const s3 = await startTestS3(t)

/** Any route that asks for a token and nothing else. */
const ask = async (service: TestService, token: string | undefined) => await service.call('GET', '/policies', { token })
async function refuses (t: Test, service: TestService, token: string | undefined, message = 'is refused'): Promise<void> {
  const reply = await ask(service, token)
  t.match({ status: reply.statusCode, code: reply.json().code }, { status: 401, code: 'UNAUTHENTICATED' }, message)
  t.equal(reply.headers['www-authenticate'], 'Bearer')
}
const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

t.test('a shared secret', async t => {
  const service = await startService(t, s3, { env: { JWT_ISSUER: 'https://issuer.example', JWT_CLOCK_TOLERANCE_SECONDS: '0' } })
  const now = Math.floor(Date.now() / 1000)
  const claims = { sub: 'ada', aud: AUDIENCE, iss: 'https://issuer.example', iat: now, exp: now + 600 }
  const sign = async (change: Record<string, unknown> = {}) => await createTestToken('ada', { ...claims, ...change })

  t.test('lets a good token in', async t => {
    t.equal((await ask(service, await sign())).statusCode, 200)
    t.equal((await ask(service, await sign({ aud: ['other', AUDIENCE] }))).statusCode, 200, 'with several audiences')
    t.equal((await ask(service, await sign({ nbf: now - 10 }))).statusCode, 200, 'that was not valid earlier')
  })

  const bad: ReadonlyArray<[name: string, change: Record<string, unknown>]> = [
    ['no aud', { aud: undefined }],
    ['another aud', { aud: 'other' }],
    ['several auds without ours', { aud: ['a', 'b'] }],
    ['an empty list of auds', { aud: [] }],
    ['no iss', { iss: undefined }],
    ['another iss', { iss: 'https://evil.example' }],
    ['an iss that only begins like ours', { iss: 'https://issuer.example.evil' }],
    ['a list as iss', { iss: ['https://issuer.example'] }],
    ['no exp', { exp: undefined }],
    ['an exp in the past', { exp: now - 1 }],
    ['an exp as text', { exp: String(now + 600) }],
    ['an nbf in the future', { nbf: now + 60 }],
    ['no sub', { sub: undefined }],
    ['an empty sub', { sub: '' }],
    ['a number as sub', { sub: 42 }],
    ['a list as sub', { sub: ['ada'] }],
    ['a control character in sub', { sub: 'ada\u0000' }],
    ['a sub of 256 characters', { sub: 'a'.repeat(256) }]
  ]
  for (const [name, change] of bad) t.test(`T2: refuses a token with ${name}`, async t => await refuses(t, service, await sign(change)))

  t.test('takes a sub of 255 characters', async t => {
    t.equal((await ask(service, await sign({ sub: 'a'.repeat(255) }))).statusCode, 200)
  })

  t.test('T1: refuses a token without a signature, whatever its header says', async t => {
    for (const alg of ['none', 'None', 'NONE', 'HS256']) await refuses(t, service, `${base64url({ alg, typ: 'JWT' })}.${base64url(claims)}.`, alg)
  })

  t.test('T1: refuses a changed claim, another secret and a key pair\'s signature', async t => {
    const [header, , signature] = (await sign()).split('.')
    await refuses(t, service, `${header}.${base64url({ ...claims, sub: 'eve' })}.${signature}`, 'changed')
    const forged = `${base64url({ alg: 'HS256' })}.${base64url(claims)}`
    await refuses(t, service, `${forged}.${createHmac('sha256', `${SECRET}!`).update(forged).digest('base64url')}`, 'another secret')
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    await refuses(t, service, await new SignJWT(claims).setProtectedHeader({ alg: 'RS256' }).sign(privateKey), 'RS256')
  })

  t.test('refuses a critical header that nobody knows (RFC 7515 section 4.1.11)', async t => {
    const token = `${base64url({ alg: 'HS256', crit: ['b64'], b64: true })}.${base64url(claims)}`
    await refuses(t, service, `${token}.${createHmac('sha256', SECRET).update(token).digest('base64url')}`)
  })

  t.test('refuses what is no token', async t => {
    for (const authorization of ['', 'Bearer', 'Bearer ', 'Basic YTpi', 'Bearer a', 'Bearer a.b.c', `Bearer ${await sign()} x`, 'Bearer ' + 'a'.repeat(9000)]) {
      const reply = await service.call('GET', '/policies', { headers: { authorization } })
      t.match(reply.json(), { status: 401, code: 'UNAUTHENTICATED' }, authorization.slice(0, 20))
    }
    await refuses(t, service, undefined)
  })

  t.test('a refusal takes no stack, and leaves those of other errors alone', async t => {
    const hasStack = (error: Error): boolean => /\n\s+at /.test(error.stack ?? '')
    t.equal(hasStack(new ApiError('UNAUTHENTICATED', 'No.')), false)
    t.equal(hasStack(new ApiError('INTERNAL_ERROR', 'Oh.')), true)
    await refuses(t, service, `${await sign()}x`)
    t.equal(hasStack(new Error('of something else')), true)
  })

  t.test('T5: a token that was good a moment ago is refused once it has expired', async t => {
    // It may be over before it is shown.
    const takenToken = async (): Promise<string> => {
      const token = await sign({ exp: Math.floor(Date.now() / 1000) + 1 })
      return (await ask(service, token)).statusCode === 200 ? token : await takenToken()
    }
    const token = await takenToken()
    let reply
    do reply = await ask(service, token)
    while (reply.statusCode === 200)
    t.match(reply.json(), { status: 401, code: 'UNAUTHENTICATED', detail: /expired/ })
  })
})

t.test('claims by other names', async t => {
  const service = await startService(t, s3, { env: { JWT_OWNER_CLAIM: 'https://app.example/id', JWT_SCOPE_CLAIM: 'permissions', JWT_AUDIENCE: 'any' } })
  const token = await createTestToken('ignored', { 'https://app.example/id': 'ada', permissions: ['files:admin'], aud: undefined })
  const body = { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: 1 }
  t.equal((await service.call('POST', '/uploads', { token, body })).json().file.owner, 'ada')
  t.equal((await service.call('GET', '/files?owner=bob', { token })).statusCode, 200)
  await refuses(t, service, await createTestToken('ada', { aud: undefined }), 'the default claim is not looked at')
})

t.test('public keys', async t => {
  const issuer = await startIssuer(t)
  const rsa = await issuer.add('rsa', generateKeyPairSync('rsa', { modulusLength: 2048 }))
  const ec = await issuer.add('ec', generateKeyPairSync('ec', { namedCurve: 'P-256' }))
  const ed = await issuer.add('ed', generateKeyPairSync('ed25519'))
  let offset = 0
  const env = { JWT_SECRET: undefined, JWT_ISSUER: issuer.url }
  const start = async (t: Test, more = {}) => await startService(t, s3, { env: { ...env, ...more }, adapt: services => ({ ...services, now: () => new Date(Date.now() + offset) }) })
  const service = await start(t)
  const sign = async (key: KeyObject, alg: string, kid: string | undefined, change: Record<string, unknown> = {}, header: Record<string, unknown> = {}) => {
    const now = Math.floor(Date.now() / 1000)
    return await new SignJWT({ sub: 'ada', aud: AUDIENCE, iss: issuer.url, exp: now + 600, ...change }).setProtectedHeader({ alg, ...(kid !== undefined && { kid }), ...header }).sign(key)
  }

  await t.test('are found by OIDC discovery, for every kind of key', async t => {
    for (const [alg, key, kid] of [['RS256', rsa, 'rsa'], ['PS256', rsa, 'rsa'], ['ES256', ec, 'ec'], ['EdDSA', ed, 'ed']] as const) {
      t.equal((await ask(service, await sign(key, alg, kid))).statusCode, 200, alg)
    }
    t.strictSame(issuer.requests, ['/.well-known/openid-configuration', '/keys'])
  })

  await t.test('are found at a configured address without discovery', async t => {
    const direct = await start(t, { JWT_JWKS_URL: `${issuer.url}/keys` })
    const before = issuer.requests.length
    t.equal((await ask(direct, await sign(rsa, 'RS256', 'rsa'))).statusCode, 200)
    t.strictSame(issuer.requests.slice(before), ['/keys'])
  })

  await t.test('T1: HS256 signed with the public key is refused', async t => {
    const pem = issuer.publicPem('rsa')
    const body = `${base64url({ alg: 'HS256', kid: 'rsa' })}.${base64url({ sub: 'eve', aud: AUDIENCE, iss: issuer.url, exp: Math.floor(Date.now() / 1000) + 600 })}`
    await refuses(t, service, `${body}.${createHmac('sha256', pem).update(body).digest('base64url')}`)
    await refuses(t, service, `${base64url({ alg: 'none', kid: 'rsa' })}.${body.split('.')[1]}.`)
  })

  await t.test('an algorithm that does not fit the key, or is not on the list, is refused', async t => {
    await refuses(t, service, await sign(rsa, 'RS512', 'rsa'), 'RS512')
    await refuses(t, service, await sign(rsa, 'RS256', 'ec'), 'an RSA signature under the id of an EC key')
    const token = await sign(rsa, 'RS256', 'rsa')
    const [, payload, signature] = token.split('.')
    await refuses(t, service, `${base64url({ alg: 'ES256', kid: 'rsa' })}.${payload}.${signature}`, 'another alg in the header')
  })

  await t.test('T3: keys that a token points to or carries are never looked at', async t => {
    const evil = await startIssuer(t)
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    await evil.add('ec', { privateKey, publicKey })
    for (const header of [{ jku: `${evil.url}/keys` }, { x5u: `${evil.url}/keys` }, { jwk: await exportJWK(publicKey) }]) {
      await refuses(t, service, await sign(privateKey, 'ES256', 'ec', {}, header), Object.keys(header)[0])
    }
    t.strictSame(evil.requests, [])
  })

  await t.test('T3: another issuer\'s token is refused, also under a key id that both have', async t => {
    await refuses(t, service, await sign(rsa, 'RS256', 'rsa', { iss: 'https://other.example' }))
    const other = generateKeyPairSync('rsa', { modulusLength: 2048 })
    await refuses(t, service, await sign(other.privateKey, 'RS256', 'rsa'))
  })

  await t.test('T4: two hundred unknown key ids, at once and one after the other, cause one request at most', async t => {
    const before = issuer.requests.length
    const [, payload, signature] = (await sign(rsa, 'RS256', 'unknown')).split('.')
    const attempt = async (index: number) => (await ask(service, `${base64url({ alg: 'RS256', kid: `unknown-${index}` })}.${payload}.${signature}`)).statusCode
    const statuses = await Promise.all(Array.from({ length: 190 }, async (_, index) => await attempt(index)))
    for (let index = 190; index < 200; index++) statuses.push(await attempt(index))
    t.strictSame([...new Set(statuses)], [401])
    t.ok(issuer.requests.length - before <= 1)
  })

  await t.test('F39: while the issuer is down, known keys serve, a forged token stays 401, and after the bound it is 503', async t => {
    issuer.isDown = true
    t.teardown(() => { issuer.isDown = false; offset = 0 })
    offset = 11 * 60_000
    const exp = Math.floor(Date.now() / 1000) + 7200
    t.equal((await ask(service, await sign(rsa, 'RS256', 'rsa', { exp }))).statusCode, 200)
    await refuses(t, service, await sign(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey, 'RS256', 'rsa', { exp }))
    offset = 62 * 60_000
    const reply = await ask(service, await sign(rsa, 'RS256', 'rsa', { exp }))
    t.match(reply.json(), { status: 503, code: 'AUTH_UNAVAILABLE' })
    t.match(reply.headers['retry-after'], /^\d+$/)
  })

  await t.test('T4, F39: while the issuer is down, fifty unknown key ids cause one request in half a minute, known keys serve, and a new key is found once it is back', async t => {
    const fresh = await start(t)
    t.teardown(() => { issuer.isDown = false; issuer.remove('late'); offset = 0 })
    const exp = Math.floor(Date.now() / 1000) + 7200
    const known = await sign(rsa, 'RS256', 'rsa', { exp })
    t.equal((await ask(fresh, known)).statusCode, 200)
    const late = await issuer.add('late', generateKeyPairSync('ed25519'))
    issuer.isDown = true
    const [, payload, signature] = known.split('.')
    const forge = (index: number) => `${base64url({ alg: 'RS256', kid: `forged-${index}` })}.${payload}.${signature}`
    for (const seconds of [31, 62]) {
      offset = seconds * 1000
      const before = issuer.requests.length
      const replies = await Promise.all(Array.from({ length: 25 }, async (_, index) => await ask(fresh, forge(index))))
      for (let index = 25; index < 50; index++) replies.push(await ask(fresh, forge(index)))
      t.strictSame([...new Set(replies.map(reply => reply.json().code))], ['AUTH_UNAVAILABLE'], 'whether they are the issuer\'s, nobody can tell')
      t.equal(issuer.requests.length - before, 1, `after ${seconds} seconds`)
      t.equal((await ask(fresh, known)).statusCode, 200)
    }
    issuer.isDown = false
    offset = 93_000
    t.equal((await ask(fresh, await sign(late, 'EdDSA', 'late', { exp }))).statusCode, 200)
    await refuses(t, fresh, forge(0), 'now it can be told')
  })

  for (const [name, body] of [['a page', '<html>maintenance</html>'], ['JSON that is no key set', '{"message":"maintenance"}'], ['a list of something else', '{"keys":["maintenance"]}']] as const) {
    await t.test(`F39: an issuer that answers 200 with ${name} is as good as down: known keys serve, and not for ever`, async t => {
      const fresh = await start(t)
      t.teardown(() => { delete issuer.says; offset = 0 })
      const token = await sign(rsa, 'RS256', 'rsa', { exp: Math.floor(Date.now() / 1000) + 24 * 3600 })
      t.equal((await ask(fresh, token)).statusCode, 200)
      issuer.says = body
      for (const minutes of [11, 22, 33, 44, 55]) {
        offset = minutes * 60_000
        t.equal((await ask(fresh, token)).statusCode, 200, `after ${minutes} minutes`)
      }
      offset = 66 * 60_000
      t.match((await ask(fresh, token)).json(), { status: 503, code: 'AUTH_UNAVAILABLE' })
      delete issuer.says
      offset = 67 * 60_000
      t.equal((await ask(fresh, token)).statusCode, 200, 'it heals by itself')
    })
  }

  await t.test('F39: with the issuer down from the start it is 503, never 401, and it heals by itself', async t => {
    issuer.isDown = true
    const cold = await start(t)
    const token = await sign(rsa, 'RS256', 'rsa')
    for (let attempt = 0; attempt < 3; attempt++) t.match((await ask(cold, token)).json(), { status: 503, code: 'AUTH_UNAVAILABLE' })
    issuer.isDown = false
    offset = 31_000
    t.equal((await ask(cold, token)).statusCode, 200)
    offset = 0
  })

  await t.test('F39: whether keys are at hand is a detail of /readyz, which fetches those that are due and waits for none', async t => {
    t.teardown(() => { issuer.isDown = false; issuer.isSilent = false; offset = 0 })
    issuer.isDown = true
    const fresh = await start(t)
    const keys = async () => {
      const reply = await fresh.call('GET', '/readyz')
      t.equal(reply.statusCode, 200)
      return reply.json().detail.keys
    }
    t.equal(await keys(), 'unavailable', 'nothing was known')
    issuer.isDown = false
    await until(async () => {
      offset += 31_000
      return await keys() === 'ok'
    })
    const before = issuer.requests.length
    offset += 11 * 60_000
    issuer.isSilent = true
    t.same(await Promise.all([keys(), keys()]), ['ok', 'ok'], 'what is known is good for an hour')
    offset += 60 * 60_000
    t.equal(await keys(), 'unavailable')
    await until(() => issuer.requests.length > before)
    t.equal(issuer.requests.length - before, 1, 'and the issuer is not asked by each')
  })

  await t.test('F40: a new key is found by one request, and a key that was taken out is refused once the old set is too old', async t => {
    const fresh = await start(t)
    t.equal((await ask(fresh, await sign(rsa, 'RS256', 'rsa'))).statusCode, 200)
    offset = 11 * 60_000
    issuer.remove('rsa')
    const next = await issuer.add('next', generateKeyPairSync('ed25519'))
    const before = issuer.requests.length
    const exp = Math.floor(Date.now() / 1000) + 7200
    const replies = await Promise.all(Array.from({ length: 20 }, async () => await ask(fresh, await sign(next, 'EdDSA', 'next', { exp }))))
    t.ok(replies.every(reply => reply.statusCode === 200))
    t.equal(issuer.requests.length - before, 1)
    await refuses(t, fresh, await sign(rsa, 'RS256', 'rsa', { exp }))
    offset = 0
  })

  await t.test('T5, F40: a token that was good seconds ago is refused once its key is taken out, or another one has its name', async t => {
    t.teardown(() => { offset = 0 })
    for (const [change, isReplaced] of [['taken out', false], ['replaced', true]] as const) {
      offset = 0
      const key = await issuer.add('brief', generateKeyPairSync('ec', { namedCurve: 'P-256' }))
      const fresh = await start(t)
      const token = await sign(key, 'ES256', 'brief', { exp: Math.floor(Date.now() / 1000) + 7200 })
      t.equal((await ask(fresh, token)).statusCode, 200)
      offset = 10 * 60_000 - 10_000
      t.equal((await ask(fresh, token)).statusCode, 200)
      issuer.remove('brief')
      if (isReplaced) await issuer.add('brief', generateKeyPairSync('ec', { namedCurve: 'P-256' }))
      offset = 10 * 60_000 + 10_000
      await refuses(t, fresh, token, change)
    }
    issuer.remove('brief')
  })

  await t.test('a discovery document that names another issuer is not believed', async t => {
    issuer.claimsToBe = 'https://other.example'
    t.match((await ask(await start(t), await sign(ec, 'ES256', 'ec'))).json(), { status: 503, code: 'AUTH_UNAVAILABLE' })
  })
})

interface Issuer {
  readonly url: string
  readonly requests: string[]
  isDown: boolean
  /** It takes requests and never answers. */
  isSilent: boolean
  claimsToBe?: string
  /** Instead of its keys. */
  says?: string
  add (kid: string, pair: { privateKey: KeyObject, publicKey: KeyObject }): Promise<KeyObject>
  remove (kid: string): void
  publicPem (kid: string): string
}

/** An OIDC issuer on loopback that counts what it is asked. */
async function startIssuer (t: Test): Promise<Issuer> {
  const keys = new Map<string, { jwk: JWK, publicKey: KeyObject }>()
  const server: Server = createServer((request, reply) => {
    issuer.requests.push(request.url ?? '')
    if (issuer.isSilent) return
    if (issuer.isDown) reply.writeHead(500).end()
    else if (request.url === '/keys') reply.end(issuer.says ?? JSON.stringify({ keys: [...keys.values()].map(({ jwk }) => jwk) }))
    else reply.end(JSON.stringify({ issuer: issuer.claimsToBe ?? issuer.url, jwks_uri: `${issuer.url}/keys` }))
  })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const issuer: Issuer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    isDown: false,
    isSilent: false,
    async add (kid, { privateKey, publicKey }) {
      keys.set(kid, { jwk: { ...await exportJWK(publicKey), kid, use: 'sig' }, publicKey })
      return privateKey
    },
    remove: kid => { keys.delete(kid) },
    publicPem: kid => String(keys.get(kid)?.publicKey.export({ type: 'spki', format: 'pem' }))
  }
  return issuer
}
