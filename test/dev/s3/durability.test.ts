import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { buffer, text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

import t, { type Test } from 'tap'

import { credentialsFileName, loadOrCreateCredentials } from '../../../src/dev/s3/credentials.js'
import { startCrc32c, startCrc64Nvme } from '../../../src/dev/s3/crc.js'
import { startDevS3 } from '../../../src/dev/s3/server.js'
import { makeTemporaryFolder } from '../../helpers/s3.js'
import { objectTarget, signWithHeader, type WireRequest } from '../../helpers/sigv4.js'
import { element, hostOf, send, sendText, type Sending, type WireResponse } from './fixtures/send.js'

const credentials = { accessKeyId: 'TESTACCESSKEYID', secretAccessKey: 'testsecret' }

function request (endpoint: string, method: string, key: string, { body, query, headers = {} }: Sending = {}): WireRequest {
  const path = key === '' ? '/bucket' : objectTarget('bucket', key)
  const plain = { method, target: query === undefined ? path : `${path}?${query}`, headers: { host: hostOf(endpoint), ...headers }, ...(body === undefined ? {} : { body }) }
  return signWithHeader(plain, credentials, { at: new Date() })
}

async function call (endpoint: string, method: string, key: string, sending: Sending = {}): Promise<WireResponse> {
  return await send(endpoint, request(endpoint, method, key, sending))
}

function runTypeScript (file: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): ChildProcess {
  return spawn(process.execPath, ['--import', 'tsx', file, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
}

async function spawnStore (t: Test, dataDir: string): Promise<{ readonly endpoint: string, kill (): Promise<void> }> {
  const child = runTypeScript(fileURLToPath(new URL('fixtures/store-process.ts', import.meta.url)), [dataDir, credentials.accessKeyId, credentials.secretAccessKey])
  t.teardown(() => { child.kill('SIGKILL') })
  if (child.stdout === null) throw new Error('no stdout')
  const [endpoint] = await once(createInterface(child.stdout), 'line') as [string]
  return {
    endpoint,
    async kill () {
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    }
  }
}

async function start (t: Test, dataDir: string) {
  const store = await startDevS3({ dataDir, port: 0, credentials })
  t.teardown(async () => { await store.close() })
  return store
}

async function filesIn (folder: string): Promise<string[]> {
  return await readdir(folder).catch(() => [])
}

t.test('what was acknowledged before kill -9 is there afterwards, byte for byte', async (t) => {
  const dataDir = await makeTemporaryFolder(t)
  const known = new Map<string, Set<string>>()
  const acknowledged = new Map<string, string>()
  for (let round = 0; round < 4; round++) {
    const store = await spawnStore(t, dataDir)
    if (round === 0) await call(store.endpoint, 'PUT', '')
    let isKilled = false
    let done = 0
    let killed: Promise<void> | undefined
    const write = async (writer: number): Promise<void> => {
      for (let index = 0; !isKilled; index++) {
        // A few keys are overwritten again and again; the body says which version it is.
        const key = `writer ${writer}/key ${index % 5}`
        const body = `${round}-${index}-`.padEnd(1000 + (index % 3) * 100_000, randomBytes(8).toString('hex'))
        known.set(key, (known.get(key) ?? new Set()).add(body))
        try {
          if ((await call(store.endpoint, 'PUT', key, { body })).status === 200) acknowledged.set(key, body)
        } catch {
          return
        }
        if (++done === 60 + round * 7) {
          isKilled = true
          killed = store.kill()
        }
      }
    }
    await Promise.all([0, 1, 2, 3].map(write))
    await killed
    const again = await startDevS3({ dataDir, port: 0, credentials })
    let [missing, wrong] = [0, 0]
    for (const [key, body] of acknowledged) {
      const found = await call(again.url, 'GET', key)
      if (found.status !== 200) missing++
      // A PUT that was not acknowledged may have been stored all the same, but whole.
      else if (found.body !== body && !(known.get(key)?.has(found.body) ?? false)) wrong++
      if (found.status === 200) acknowledged.set(key, found.body)
    }
    t.equal(missing, 0)
    t.equal(wrong, 0)
    t.ok(acknowledged.size >= 15, `${acknowledged.size} keys`)
    const folder = join(dataDir, 's3', 'bucket')
    t.equal((await readdir(join(folder, 'data'))).length, (await readdir(join(folder, 'objects'))).length, 'and nothing else is on the disk')
    await again.close()
  }
})

t.test('leftovers of a killed process are swept at the start, objects are not', async (t) => {
  const dataDir = await makeTemporaryFolder(t)
  const first = await start(t, dataDir)
  await call(first.url, 'PUT', '')
  await call(first.url, 'PUT', 'kept', { body: 'kept' })
  const created = await call(first.url, 'POST', 'multipart', { query: 'uploads=' })
  const uploadId = element(created.body, 'UploadId') ?? ''
  const part = await call(first.url, 'PUT', 'multipart', { query: `partNumber=1&uploadId=${uploadId}`, body: 'part' })
  await first.close()

  const folder = join(dataDir, 's3', 'bucket')
  await writeFile(join(folder, 'data', 'half-written'), 'x')
  await writeFile(join(folder, 'objects', 'half-written.tmp'), '{"key":')
  await mkdir(join(folder, 'uploads', 'without-its-document'))
  await mkdir(join(dataDir, 's3', 'half-made'))
  const second = await start(t, dataDir)
  t.equal((await call(second.url, 'GET', 'kept')).body, 'kept')
  t.equal((await readdir(join(folder, 'data'))).length, 2)
  t.equal((await readdir(join(folder, 'objects'))).length, 1)
  t.same(await readdir(join(folder, 'uploads')), [uploadId])
  t.same(await readdir(join(dataDir, 's3')), ['bucket'])
  const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${part.headers['etag'] ?? ''}</ETag></Part></CompleteMultipartUpload>`
  t.equal((await call(second.url, 'POST', 'multipart', { query: `uploadId=${uploadId}`, body })).status, 200, 'an open upload goes on')
  t.equal((await call(second.url, 'GET', 'multipart')).body, 'part')
})

t.test('what is not the store\'s own stays where it is', async (t) => {
  const dataDir = await makeTemporaryFolder(t)
  const folder = join(dataDir, 's3')
  await mkdir(join(folder, 'client', 'data'), { recursive: true })
  await mkdir(join(folder, 'half-made', 'data'), { recursive: true })
  await mkdir(join(folder, 'half-made', 'bucket'))
  await writeFile(join(folder, 'half-made', 'bucket', '5e0f3f0c-52ab-4a7e-8a3c-1b4d5f0e9a77.tmp'), '{"na')
  await writeFile(join(folder, 'client', 'data', 'notes.txt'), 'mine')
  await writeFile(join(folder, 'index.ts'), 'mine')
  const first = await start(t, dataDir)
  t.same((await readdir(folder)).sort(), ['client', 'index.ts'])
  t.equal(await readFile(join(folder, 'client', 'data', 'notes.txt'), 'utf8'), 'mine')
  await call(first.url, 'PUT', '')
  await call(first.url, 'PUT', 'kept', { body: 'kept' })
  await first.close()

  const document = join(folder, 'bucket', 'bucket', 'bucket.json')
  const whole = await readFile(document, 'utf8')
  await writeFile(document, whole.slice(0, 5))
  await t.rejects(startDevS3({ dataDir, port: 0, credentials }), /bucket\.json cannot be read: /)
  await writeFile(document, whole)
  t.equal((await call((await start(t, dataDir)).url, 'GET', 'kept')).body, 'kept')
})

t.test('killed between a completion\'s commit and its end, the object keeps its parts', async (t) => {
  const dataDir = await makeTemporaryFolder(t)
  const first = await start(t, dataDir)
  await call(first.url, 'PUT', '')
  const uploadId = element((await call(first.url, 'POST', 'done', { query: 'uploads=' })).body, 'UploadId') ?? ''
  const part = await call(first.url, 'PUT', 'done', { query: `partNumber=1&uploadId=${uploadId}`, body: 'part' })
  const upload = join(dataDir, 's3', 'bucket', 'uploads', uploadId)
  const documents = await Promise.all((await readdir(upload)).map(async (name) => [name, await readFile(join(upload, name), 'utf8')] as const))
  const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${part.headers['etag'] ?? ''}</ETag></Part></CompleteMultipartUpload>`
  await call(first.url, 'POST', 'done', { query: `uploadId=${uploadId}`, body })
  await first.close()
  await mkdir(upload)
  for (const [name, document] of documents) await writeFile(join(upload, name), document)

  const second = await start(t, dataDir)
  t.equal((await call(second.url, 'DELETE', 'done', { query: `uploadId=${uploadId}` })).code, 'NoSuchUpload')
  t.equal((await call(second.url, 'GET', 'done')).body, 'part')
})

t.test('replaced, deleted and refused bytes leave the disk', async (t) => {
  const dataDir = await makeTemporaryFolder(t)
  const store = await start(t, dataDir)
  await call(store.url, 'PUT', '')
  const data = join(dataDir, 's3', 'bucket', 'data')
  await call(store.url, 'PUT', 'key', { body: 'one' })
  await call(store.url, 'PUT', 'key', { body: 'two' })
  t.equal((await filesIn(data)).length, 1)
  await call(store.url, 'PUT', 'other', { body: 'x', headers: { 'content-md5': 'XUFAKrxLKna5cZ2REBfFkg==' } })
  t.equal((await filesIn(data)).length, 1)
  await Promise.all(Array.from({ length: 6 }, async () => await call(store.url, 'PUT', 'once', { body: 'x'.repeat(100_000), headers: { 'if-none-match': '*' } })))
  t.equal((await filesIn(data)).length, 2, 'the losers of a race')
  const uploadId = element((await call(store.url, 'POST', 'up', { query: 'uploads=' })).body, 'UploadId') ?? ''
  for (const body of ['one', 'two']) await call(store.url, 'PUT', 'up', { query: `partNumber=1&uploadId=${uploadId}`, body })
  t.equal((await filesIn(data)).length, 3, 'a replaced part')
  await call(store.url, 'DELETE', 'up', { query: `uploadId=${uploadId}` })
  await call(store.url, 'DELETE', 'key')
  await call(store.url, 'DELETE', 'once')
  t.same(await filesIn(data), [])
  await call(store.url, 'DELETE', '')
  t.same(await filesIn(join(dataDir, 's3')), [])
})

t.test('a client that went away in the middle of a body stored nothing', async (t) => {
  const dataDir = await makeTemporaryFolder(t)
  const store = await start(t, dataDir)
  await call(store.url, 'PUT', '')
  const { target, headers } = signWithHeader({ method: 'PUT', target: '/bucket/cut', headers: { host: hostOf(store.url), 'content-length': '10' } }, credentials, { at: new Date(), payloadHash: 'UNSIGNED-PAYLOAD' })
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')
  t.match(await sendText(store.url, `PUT ${target} HTTP/1.1\r\n${lines}\r\nhalf`), /IncompleteBody/)
  // Closing waits for what the store is still doing with the request.
  await store.close()
  t.same(await readdir(join(dataDir, 's3', 'bucket', 'data')), [])
  t.same(await readdir(join(dataDir, 's3', 'bucket', 'objects')), [])
})

t.test('a reader of an object of several files gets all of it, though it is deleted meanwhile', async (t) => {
  const store = await start(t, await makeTemporaryFolder(t))
  await call(store.url, 'PUT', '')
  const uploadId = element((await call(store.url, 'POST', 'big', { query: 'uploads=' })).body, 'UploadId') ?? ''
  const bodies = ['a', 'b', 'c'].map((letter) => Buffer.alloc(5 * 1024 ** 2, letter))
  let parts = ''
  for (const [index, body] of bodies.entries()) {
    const { headers } = await call(store.url, 'PUT', 'big', { query: `partNumber=${index + 1}&uploadId=${uploadId}`, body })
    parts += `<Part><PartNumber>${index + 1}</PartNumber><ETag>${headers['etag'] ?? ''}</ETag></Part>`
  }
  await call(store.url, 'POST', 'big', { query: `uploadId=${uploadId}`, body: `<CompleteMultipartUpload>${parts}</CompleteMultipartUpload>` })
  const { hostname, port } = new URL(store.url)
  const { target, headers } = request(store.url, 'GET', 'big')
  const outgoing = httpRequest({ hostname, port, path: target, headers, agent: false })
  outgoing.end()
  // Nothing is read yet: the store waits with the first file open and the others still closed.
  const [response] = await once(outgoing, 'response') as [IncomingMessage]
  t.equal((await call(store.url, 'DELETE', 'big')).status, 204)
  t.ok((await buffer(response)).equals(Buffer.concat(bodies)))
})

t.test('no key reaches outside its folder', async (t) => {
  const dataDir = await makeTemporaryFolder(t)
  await writeFile(join(dataDir, 'outside.txt'), 'untouched')
  const store = await start(t, dataDir)
  await call(store.url, 'PUT', '')
  for (const target of ['/bucket/../../outside.txt', '/bucket/..%2f..%2foutside.txt', '/../outside.txt', '/%2e%2e/outside.txt', '/bucket/%2fetc%2fpasswd', '/bucket/a%00b']) {
    // Slashes and dots are signed as what they decode to, as the store has it.
    const decoded = target.replaceAll('%2f', '/').replaceAll('%2e', '.')
    const signed = signWithHeader({ method: 'PUT', target: decoded, headers: { host: hostOf(store.url) }, body: 'x' }, credentials, { at: new Date() })
    const response = await send(store.url, { ...signed, target })
    t.ok([200, 400, 404].includes(response.status), `${target} ${response.status}`)
  }
  t.equal(await readFile(join(dataDir, 'outside.txt'), 'utf8'), 'untouched')
  t.same((await readdir(dataDir)).sort(), ['outside.txt', 's3'])
  t.same(await readdir(join(dataDir, 's3')), ['bucket'])
})

t.test('a few thousand objects do not slow the start', async (t) => {
  const dataDir = await makeTemporaryFolder(t)
  const first = await start(t, dataDir)
  await call(first.url, 'PUT', '')
  await call(first.url, 'PUT', 'model', { body: 'x' })
  await first.close()
  const objects = join(dataDir, 's3', 'bucket', 'objects')
  const [name = ''] = await readdir(objects)
  const model = JSON.parse(await readFile(join(objects, name), 'utf8')) as { segments: unknown }
  for (let index = 0; index < 3000; index++) {
    await writeFile(join(objects, `${index}.json`), JSON.stringify({ ...model, key: `object ${index}`, segments: [{ file: `file-${index}`, sizeBytes: 1 }] }))
  }
  const started = performance.now()
  const second = await start(t, dataDir)
  const milliseconds = performance.now() - started
  t.comment(`3,000 objects read in ${Math.round(milliseconds)} ms`)
  t.ok(milliseconds < 5000)
  t.match((await call(second.url, 'GET', '', { query: 'list-type=2' })).body, /<KeyCount>1000</)
})

t.test('close ends open connections at once, and the port is free', async (t) => {
  const store = await startDevS3({ dataDir: await makeTemporaryFolder(t), port: 0, credentials })
  await call(store.url, 'PUT', '')
  const stalled = request(store.url, 'PUT', 'stalled', { headers: { 'content-length': '1000' }, body: 'x'.repeat(1000) })
  const cut = t.rejects(send(store.url, { ...stalled, body: 'only the beginning' }))
  await call(store.url, 'HEAD', '')
  await store.close()
  await cut
  const again = await startDevS3({ dataDir: await makeTemporaryFolder(t), port: store.port, credentials })
  await t.rejects(startDevS3({ dataDir: await makeTemporaryFolder(t), port: store.port, credentials }), { code: 'EADDRINUSE' })
  await again.close()
})

t.test('the store does not start in production', async (t) => {
  t.intercept(process, 'env', { value: { ...process.env, NODE_ENV: 'production' } })
  await t.rejects(startDevS3({ dataDir: await makeTemporaryFolder(t), port: 0, credentials }), /production/)
})

t.test('the credentials are made once, and only their owner may read them', async (t) => {
  const dataDir = await makeTemporaryFolder(t)
  const pairs = await Promise.all([1, 2, 3].map(async () => await loadOrCreateCredentials(dataDir)))
  t.same(pairs[1], pairs[0])
  t.same(pairs[2], pairs[0])
  t.same(await loadOrCreateCredentials(dataDir), pairs[0])
  t.ok((pairs[0]?.secretAccessKey.length ?? 0) >= 40)
  t.equal((await stat(join(dataDir, credentialsFileName))).mode & 0o777, 0o600)
  t.same(await readdir(dataDir), [credentialsFileName])
  t.not((await loadOrCreateCredentials(await makeTemporaryFolder(t))).secretAccessKey, pairs[0]?.secretAccessKey)
})

const main = fileURLToPath(new URL('../../../src/dev/s3/main.ts', import.meta.url))

t.test('the process says where it is and where its credentials are, not what they are', async (t) => {
  const dataDir = await makeTemporaryFolder(t)
  const child = runTypeScript(main, [], { ...process.env, DEV_S3_PORT: '0', DATA_DIR: dataDir })
  t.teardown(() => { child.kill('SIGKILL') })
  if (child.stdout === null) throw new Error('no stdout')
  let banner = ''
  for await (const chunk of child.stdout) {
    banner += String(chunk)
    if (banner.includes('objects')) break
  }
  t.match(banner, /endpoint +http:\/\/127\.0\.0\.1:\d+\n +region +us-east-1\n/)
  const { secretAccessKey } = await loadOrCreateCredentials(dataDir)
  t.match(banner, join(dataDir, credentialsFileName))
  t.notMatch(banner, secretAccessKey)
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  t.same(await exited, [0, null])
})

const mistakes: Array<[name: string, env: (port: number) => Record<string, string>, message: RegExp]> = [
  ['a port that is taken', (port) => ({ DEV_S3_PORT: String(port) }), /^Port \d+ is taken\. .*DEV_S3_PORT=\d+.*\n$/],
  ['a port that is none', () => ({ DEV_S3_PORT: 'http' }), /DEV_S3_PORT/],
  ['an access key without its secret', () => ({ DEV_S3_PORT: '0', DEV_S3_ACCESS_KEY_ID: 'a' }), /DEV_S3_SECRET_ACCESS_KEY/],
  ['production', () => ({ DEV_S3_PORT: '0', NODE_ENV: 'production' }), /production/]
]
t.test('the process ends with one line about', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => { taken.close() })
  for (const [name, env, message] of mistakes) {
    await t.test(name, async (t) => {
      const child = runTypeScript(main, [], { ...process.env, DATA_DIR: await makeTemporaryFolder(t), ...env((taken.address() as AddressInfo).port) })
      if (child.stderr === null) throw new Error('no stderr')
      const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'exit') as Promise<[number]>])
      t.equal(code, 1)
      t.match(said, message)
      t.equal(said.trim().split('\n').length, 1)
    })
  }
})

// The check values of "123456789" in the catalogue of CRC algorithms.
t.test('the checksums that Node does not have are the standard\'s', async (t) => {
  for (const [name, checksum, expected] of [['CRC-32/ISCSI', startCrc32c(), 'e3069283'], ['CRC-64/NVME', startCrc64Nvme(), 'ae8b14860a799888']] as const) {
    checksum.update(Buffer.from('1234'))
    checksum.update(Buffer.from('56789'))
    t.equal(checksum.digest().toString('hex'), expected, name)
  }
})
