import { connect, type AddressInfo } from 'node:net'
import t from 'tap'
import { startService, type TestService } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { POLICIES, uppyClient, type Begun } from './fixtures/uppy-client.js'

const s3 = await startTestS3(t)
const params = 's3/params?filename=a.png&type=image/png'

/** Sends one request as it is written here, and reads until the server closes. */
async function raw ({ app }: TestService, target: string, token: string): Promise<string> {
  const { port } = app.server.address() as AddressInfo
  return await new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`GET ${target} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${token}\r\nconnection: close\r\n\r\n`))
    let reply = ''
    socket.setEncoding('utf8').on('data', chunk => { reply += chunk }).on('close', () => resolve(reply)).on('error', reject)
  })
}

t.test('the reason phrase says what is wrong, for Uppy 6 shows that alone', async t => {
  const service = await startService(t, s3, { policies: POLICIES })
  await service.app.listen({ port: 0, host: '127.0.0.1' })
  const ada = await service.token('ada')
  const rows: ReadonlyArray<[target: string, token: string, line: string]> = [
    [`/uppy/pictures/${params.replace('png&type=image/png', 'exe&type=text/html')}`, ada, 'HTTP/1.1 415 The content type is not allowed'],
    [`/uppy/pictures/${params}&metadata[size]=99999999`, ada, 'HTTP/1.1 413 The file is too large'],
    [`/uppy/pictures/${params}`, 'x', 'HTTP/1.1 401 A valid token is needed'],
    ['/uppy/pictures/s3/params', ada, 'HTTP/1.1 400 The request is not valid'],
    ['/uppy/tickets/none/s3/params', ada, 'HTTP/1.1 401 A valid token is needed'],
    ['/uppy/pictures/s3/multipart/u?key=k', ada, 'HTTP/1.1 404 There is no such upload'],
    ['/uppy/pictures/s3/sts', ada, 'HTTP/1.1 404 There is nothing at this address'],
    ['/files/x', ada, 'HTTP/1.1 404 Not Found'],
    [`/uppy/pictures/${params}`, ada, 'HTTP/1.1 200 OK']
  ]
  for (const [target, token, line] of rows) {
    const [head = '', ...rest] = (await raw(service, target, token)).split('\r\n')
    t.equal(head, line, target)
    const body = JSON.parse(rest.at(-1) ?? '')
    if (line.includes('200')) continue
    t.equal(body.message, target.startsWith('/uppy/') ? body.detail : undefined)
  }
})

t.test('an endpoint may end with a slash, which Uppy 6 keeps', async t => {
  const service = await startService(t, s3, { policies: POLICIES })
  const ada = await service.token('ada')
  const at = async (path: string) => (await service.call('GET', path, { token: ada })).statusCode
  for (const path of [`/uppy/pictures//${params}`, `/uppy/pictures///s3//params?${params.split('?')[1]}`, `//uppy/pictures/${params}`, `/uppy//pictures/${params}`]) t.equal(await at(path), 200, path)
  const uppy = uppyClient(service, { path: '/uppy/pictures/', token: ada })
  const begun: Begun = (await uppy.begin({ filename: 'a.png', type: 'image/png', metadata: {} })).json()
  t.equal((await uppy.list(begun)).statusCode, 200)
  t.equal((await uppy.params({ filename: 'https://a//b.png', type: 'image/png' })).statusCode, 200)
  t.match((await service.call('GET', '/files?status=pending', { token: ada })).json().data, [{ filename: 'b.png' }], 'a query is left as it is')

  t.test('T8 T12: nowhere else', async t => {
    await service.app.listen({ port: 0, host: '127.0.0.1' })
    // Over a socket, since clients take dot segments out by themselves.
    for (const path of ['//files', '/files//', '//policies', '/downloads//x', '//livez', '/uppyx//files', '/x//uppy/pictures', '//uppy', '/uppy/../files', '/uppy//../files', '//uppy//..//files', '/uppy/%2e%2e//files']) {
      t.match(await raw(service, path, ada), /^HTTP\/1.1 404 /, path)
    }
    t.match((await service.call('GET', '//uppy//pictures//s3/params?filename=a')).json(), { status: 401 }, 'and a token is asked for as ever')
  })
})

t.test('an uploadId and a key may hold any character', async t => {
  const uploadId = `2~a/b+c=d%2F e?&#é${'x'.repeat(600)}`
  const service = await startService(t, s3, {
    policies: POLICIES,
    adapt: services => ({ ...services, objectStorage: { ...services.objectStorage, createMultipartUpload: async () => uploadId, listParts: async (_, id) => id === uploadId ? [] : null } })
  })
  const uppy = uppyClient(service, { path: '/uppy/binaries', token: await service.token('ada') })
  const begun: Begun = (await uppy.begin({ filename: 'a', type: 'application/octet-stream', metadata: {} })).json()
  t.equal(begun.uploadId, uploadId)
  t.equal(new URL((await uppy.sign(begun, 2)).json().url).searchParams.get('uploadId'), uploadId)
  t.strictSame((await uppy.list(begun)).json(), [])
  t.strictSame(Object.keys((await uppy.batch(begun, '1,3')).json().presignedUrls), ['1', '3'])
})

t.test('T34: the URLs of parts have a limit of their own', async t => {
  const service = await startService(t, s3, { policies: POLICIES, env: { RATE_LIMIT_USER_PER_MINUTE: '3', RATE_LIMIT_ADDRESS_PER_MINUTE: '1000', RATE_LIMIT_PARTS_PER_MINUTE: '5' } })
  const ada = await service.token('ada')
  const uppy = uppyClient(service, { path: '/uppy/binaries', token: ada })
  const begun: Begun = (await uppy.begin({ filename: 'a', type: 'application/octet-stream', metadata: {} })).json()
  for (const status of [200, 200, 200, 200, 200, 429]) t.equal((await uppy.sign(begun, 1)).statusCode, status)
  t.match((await uppy.sign(begun, 1)).json(), { code: 'RATE_LIMITED', message: /At most 5/, retryAfterSeconds: Number })
  for (const status of [200, 200, 429]) t.equal((await uppy.list(begun)).statusCode, status, 'which the others do not share')
  t.equal((await uppyClient(service, { path: '/uppy/binaries', token: await service.token('eve') }).sign(begun, 1)).statusCode, 404, 'another user has their own')
  const statuses = []
  for (let index = 0; index < 4; index++) statuses.push((await service.call('GET', '/uppy/tickets/none/s3/multipart/u/1?key=k')).statusCode)
  t.strictSame(statuses, [401, 401, 429, 429], 'and an address has twice as many, whoever asks')
})

t.test('a part is signed with one query', async t => {
  const queries: string[] = []
  const service = await startService(t, s3, {
    policies: POLICIES,
    adapt: services => ({
      ...services,
      files: new Proxy(services.files, { get: (target, name, receiver) => { queries.push(String(name)); return Reflect.get(target, name, receiver) } })
    })
  })
  const uppy = uppyClient(service, { path: '/uppy/binaries', token: await service.token('ada') })
  const begun: Begun = (await uppy.begin({ filename: 'a', type: 'application/octet-stream', metadata: {} })).json()
  queries.length = 0
  for (const number of [1, 2, 3]) t.equal((await uppy.sign(begun, number)).statusCode, 200)
  t.strictSame(queries, Array(3).fill('findByMultipartUpload'))
})
