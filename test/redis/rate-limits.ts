// Rate limits that several processes count together, on a real Redis: `npm test` has none, CI has.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { freePort } from '../helpers/free-port.js'
import { runCli, type Running } from '../helpers/process.js'
import { createTestToken, testEnvironment } from '../helpers/service.js'
import { makeTemporaryFolder } from '../helpers/s3.js'

interface RedisServer { readonly url: string, kill (): Promise<void>, start (): Promise<void> }

async function startRedis (t: Test): Promise<RedisServer> {
  const port = await freePort()
  const folder = await makeTemporaryFolder(t)
  let child: ReturnType<typeof spawn> | undefined
  const server = {
    url: `redis://127.0.0.1:${port}`,
    async start () {
      const started = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder], { stdio: ['ignore', 'pipe', 'inherit'] })
      started.once('error', error => { throw new Error('redis-server does not start: apt-get install redis-server', { cause: error }) })
      child = started
      for await (const chunk of started.stdout) if (String(chunk).includes('Ready to accept connections')) break
    },
    async kill () {
      child?.kill('SIGKILL')
      if (child?.exitCode === null && child.signalCode === null) await once(child, 'close')
    }
  }
  await server.start()
  t.teardown(async () => await server.kill())
  return server
}

async function startReplica (t: Test, env: Readonly<Record<string, string>>): Promise<Running & { readonly url: string }> {
  const running = runCli(t, ['serve'], {
    ...env, S3_BUCKET: 'files', S3_ENDPOINT: 'http://127.0.0.1:1', AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', PORT: '0', SWEEP_INTERVAL_SECONDS: '0'
  })
  const [, url = ''] = await running.output(/"listening":"([^"]+)"/)
  return { ...running, url }
}

async function statusOf (url: string, token: string): Promise<number> {
  return (await fetch(`${url}/usage`, { headers: { authorization: `Bearer ${token}` } })).status
}

t.test('T34: three processes count a user together, and users apart', async t => {
  const redis = await startRedis(t)
  const env = { ...await testEnvironment(t, { engine: 'postgres' }), REDIS_URL: redis.url, RATE_LIMIT_USER_PER_MINUTE: '9' }
  const replicas = await Promise.all([1, 2, 3].map(async () => await startReplica(t, env)))
  const ada = await createTestToken('ada')
  const statuses: number[] = []
  for (let round = 0; round < 4; round++) for (const { url } of replicas) statuses.push(await statusOf(url, ada))
  t.strictSame(statuses, [...Array.from({ length: 9 }, () => 200), 429, 429, 429])
  t.equal(await statusOf(replicas[0]?.url ?? '', await createTestToken('eve')), 200)
  const refused = await fetch(`${replicas[1]?.url}/usage`, { headers: { authorization: `Bearer ${ada}` } })
  t.match(await refused.json(), { code: 'RATE_LIMITED' })
  t.match(refused.headers.get('retry-after'), /^[1-9]\d?$/)
})

t.test('T34: three processes count an address together, apart from users and from parts', async t => {
  const redis = await startRedis(t)
  const env = { ...await testEnvironment(t, { engine: 'postgres' }), REDIS_URL: redis.url, RATE_LIMIT_ADDRESS_PER_MINUTE: '6' }
  const replicas = await Promise.all([1, 2, 3].map(async () => await startReplica(t, env)))
  const statuses: number[] = []
  for (let round = 0; round < 3; round++) {
    for (const [index, { url }] of replicas.entries()) statuses.push(await statusOf(url, await createTestToken(`user-${round}-${index}`)))
  }
  t.strictSame(statuses, [...Array.from({ length: 6 }, () => 200), 429, 429, 429])
})

t.test('an outage of Redis lets requests through at once, says so in the log, and ends by itself', async t => {
  const redis = await startRedis(t)
  const replica = await startReplica(t, { ...await testEnvironment(t), REDIS_URL: redis.url, RATE_LIMIT_USER_PER_MINUTE: '3' })
  const ada = await createTestToken('ada')
  for (let request = 0; request < 3; request++) t.equal(await statusOf(replica.url, ada), 200)
  t.equal(await statusOf(replica.url, ada), 429)
  await redis.kill()
  await replica.output(/Redis does not answer/)
  for (let request = 0; request < 5; request++) t.equal(await statusOf(replica.url, ada), 200)
  await redis.start()
  await replica.output(/Redis does not answer[^]*rate limits are counted in Redis/)
  const statuses: number[] = []
  for (let request = 0; request < 4; request++) statuses.push(await statusOf(replica.url, ada))
  t.strictSame(statuses, [200, 200, 200, 429])
})

t.test('a Redis that is not there at the start does not stop it', async t => {
  const replica = await startReplica(t, { ...await testEnvironment(t), REDIS_URL: `redis://127.0.0.1:${await freePort()}`, RATE_LIMIT_USER_PER_MINUTE: '1' })
  const ada = await createTestToken('ada')
  for (let request = 0; request < 3; request++) t.equal(await statusOf(replica.url, ada), 200)
  t.match(replica.stdout(), /"level":40.*Redis does not answer/)
  replica.child.kill('SIGTERM')
  t.equal(await replica.ended, 0, 'and does not keep the process')
})
