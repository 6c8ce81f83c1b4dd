import t, { type Test } from 'tap'
import { allowedDisposition } from '../../src/downloads/content-disposition.js'
import { HTML, PDF, png, SVG } from '../helpers/samples.js'
import { s3Code, send } from '../helpers/send.js'
import { ENGINES, startService, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'

const s3 = await startTestS3(t)
const picture = png()

t.test('T22: no document of XML is shown inline, whatever kind it says it is of', async t => {
  for (const type of ['video/x+xml', 'audio/x.y+xml', 'image/svg+xml', 'text/html', 'application/xhtml+xml']) t.equal(allowedDisposition(type, 'inline'), 'attachment', type)
  for (const type of ['video/mp4', 'audio/mpeg', 'audio/x+wav', 'image/png']) t.equal(allowedDisposition(type, 'inline'), 'inline', type)
  t.equal(allowedDisposition('image/png', 'attachment'), 'attachment')
})

for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  let clock = (): Date => new Date()
  const { call, token } = await startService(t, s3, { engine, adapt: services => ({ ...services, now: () => clock() }) })
  const ada = await token('ada')
  const grace = await token('grace')

  async function upload (body: object, bytes: Uint8Array): Promise<string> {
    const { file, upload } = (await call('POST', '/uploads', { token: ada, body: { filename: 'a', sizeBytes: bytes.length, ...body } })).json()
    t.equal((await send(upload, bytes)).status, 200)
    t.equal((await call('POST', `/uploads/${file.id}/complete`, { token: ada })).statusCode, 200)
    return file.id
  }
  const ask = async (body: object, as = ada) => await call('POST', '/downloads', { token: as, body })

  const own = await upload({ policy: 'pictures', filename: 'own.png', contentType: 'image/png' }, picture)
  const shared = await upload({ policy: 'notes', filename: 'shared.txt', contentType: 'text/plain' }, Buffer.from('shared'))
  const open = await upload({ policy: 'posters', filename: 'open.png', contentType: 'image/png' }, picture)
  const svg = await upload({ policy: 'pictures', filename: 'drawing.svg', contentType: 'image/svg+xml' }, SVG)

  t.test('a GET brings the bytes with the verified type, private to caches', async t => {
    const { file, download } = (await ask({ fileId: own })).json()
    t.match(file, { id: own, status: 'ready' })
    t.match(download, { method: 'GET', headers: {}, disposition: 'inline' })
    const sent = await send(download)
    t.strictSame(sent.body, picture)
    t.match(sent.headers, { 'content-type': 'image/png', 'content-disposition': 'inline; filename="own.png"', 'cache-control': /^private, max-age=\d+$/ })
  })

  t.test('a HEAD URL is for HEAD alone', async t => {
    const { download } = (await ask({ fileId: own, method: 'HEAD' })).json()
    const sent = await send(download)
    t.equal(sent.status, 200)
    t.equal(sent.headers['content-length'], String(picture.length))
    t.equal((await send({ ...download, method: 'GET' })).status, 403)
  })

  t.test('T21: type and name are not the client\'s to choose, neither in the request nor in the URL', async t => {
    t.match((await ask({ fileId: own, contentType: 'text/html' })).json(), { status: 400, code: 'INVALID_REQUEST' })
    const { download } = (await ask({ fileId: own })).json()
    for (const [name, url] of [
      ['added', `${download.url}&response-content-language=en`],
      ['changed', download.url.replace('response-content-type=image%2Fpng', 'response-content-type=text%2Fhtml')],
      ['doubled', `${download.url}&response-content-type=text/html`]
    ] as const) {
      const sent = await send({ ...download, url })
      t.equal(sent.status, 403, `${name}: ${s3Code(sent)}`)
    }
  })

  const inline: ReadonlyArray<[name: string, id: string, asked: string, expected: string]> = [
    ['a picture may be inline', own, 'inline', 'inline'],
    ['a picture may be an attachment', own, 'attachment', 'attachment'],
    ['plain text may be inline', shared, 'inline', 'inline'],
    ['T22: SVG never is', svg, 'inline', 'attachment']
  ]
  for (const [name, fileId, disposition, expected] of inline) {
    t.test(name, async t => {
      const { download } = (await ask({ fileId, disposition })).json()
      t.equal(download.disposition, expected)
      t.match((await send(download)).headers['content-disposition'], new RegExp(`^${expected};`))
    })
  }

  t.test('T29: what begins as its type is served as its type, whatever hangs behind it', async t => {
    const polyglot = Buffer.concat([picture, HTML])
    const id = await upload({ policy: 'pictures', filename: 'p.png', contentType: 'image/png' }, polyglot)
    t.equal((await send((await ask({ fileId: id })).json().download)).headers['content-type'], 'image/png')
  })

  const names: ReadonlyArray<[name: string, filename: string, shown: string]> = [
    ['T23: a bidirectional mark', 'photo\u202Egnp.exe', 'photognp.exe'],
    ['T23: a line break', 'a\r\nX: 1', 'aX: 1'],
    ['T23: a path', '../../etc/passwd', 'passwd'],
    ['T23: a Japanese name', '写真 (1)\'*.png', '写真 (1)\'*.png'],
    ['T23: quotes and backslashes', 'a"b;c.png', 'a"b;c.png'],
    ['T23: an encoded line break', 'a%0d%0ab.png', 'a%0d%0ab.png'],
    ['T23: three hundred emoji', `${'😀'.repeat(300)}.png`, `${'😀'.repeat(62)}.png`]
  ]
  for (const [name, filename, shown] of names) {
    t.test(`${name} in a file name`, async t => {
      const { download } = (await ask({ fileId: own, filename })).json()
      const header = String((await send(download)).headers['content-disposition'])
      t.notMatch(header, /\p{Cc}/u)
      const extended = /filename\*=UTF-8''([^;]+)$/.exec(header)?.[1]
      t.equal(extended === undefined ? /filename="(.*)"$/.exec(header)?.[1] : decodeURIComponent(extended), shown)
      if (extended !== undefined) t.match(extended, /^[A-Za-z0-9!#$&+.^_`|~%-]+$/, 'only what RFC 8187 allows')
    })
  }

  t.test('T27: a URL lives as long as the policy says at most, and the reply says until when', async t => {
    t.match((await ask({ fileId: own, expiresInSeconds: 700_000 })).json(), { status: 400, code: 'INVALID_REQUEST' })
    t.match((await ask({ fileId: own, expiresInSeconds: 901 })).json(), { status: 400, code: 'INVALID_REQUEST', errors: [{ path: '/expiresInSeconds' }] })
    t.match((await ask({ fileId: own, expiresInSeconds: 0 })).json(), { status: 400, code: 'INVALID_REQUEST' })
    const before = Date.now()
    const { download } = (await ask({ fileId: own, expiresInSeconds: 30 })).json()
    t.equal(new URL(download.url).searchParams.get('X-Amz-Expires'), '30')
    const end = new Date(download.expiresAt).getTime()
    t.ok(end > before + 28_000 && end <= Date.now() + 30_000)
    t.equal(new URL((await ask({ fileId: open })).json().download.url).searchParams.get('X-Amz-Expires'), '60')
  })

  t.test('a URL that nobody asked a life for is the same for a third of its life, and brings the bytes all along', async t => {
    t.teardown(() => { clock = () => new Date() })
    const seconds = 1000
    const window = 300 * seconds
    // Windows that have begun already: a store need not take signatures of the future.
    const begin = Math.floor(Date.now() / window) * window
    const askAt = async (time: number, body: object = {}) => {
      clock = () => new Date(time)
      return (await ask({ fileId: own, ...body })).json().download as { method: string, url: string, headers: Record<string, string>, expiresAt: string }
    }
    const first = await askAt(begin - window)
    const last = await askAt(begin - 1)
    t.equal(first.url, last.url, 'byte for byte')
    t.strictSame((await send(last)).body, picture)
    t.equal(Date.parse(last.expiresAt), begin - window + 900 * seconds, 'at least two thirds of its life are left')
    t.equal(expiryOf(last.url), Date.parse(last.expiresAt), 'which is what the store goes by')
    clock = () => new Date(begin - 1)
    t.equal((await call('GET', `/downloads/${own}`, { token: ada })).headers.location, last.url, 'redirects lead to the same')
    const next = await askAt(begin)
    t.not(next.url, last.url)
    t.strictSame((await send(next)).body, picture)
    t.equal(Date.parse(next.expiresAt), begin + 900 * seconds)
    t.not((await askAt(begin, { disposition: 'attachment' })).url, next.url)
    t.equal(Date.parse((await askAt(begin - 1, { expiresInSeconds: 600 })).expiresAt), begin - seconds + 600 * seconds, 'who asks for a life gets exactly that')
  })

  const readers: ReadonlyArray<[name: string, id: string, as: string | undefined, post: number, get: number]> = [
    ['a private file for its owner', own, ada, 201, 307],
    ['a private file for another user', own, grace, 404, 404],
    ['a private file without a token', own, undefined, 401, 401],
    ['an authenticated file for another user', shared, grace, 201, 307],
    ['an authenticated file without a token', shared, undefined, 401, 401],
    ['a public file for another user', open, grace, 201, 307],
    ['a public file without a token', open, undefined, 401, 307],
    ['no file at all for a user', '00000000-0000-4000-8000-000000000000', grace, 404, 404],
    ['no file at all without a token', '00000000-0000-4000-8000-000000000000', undefined, 401, 401]
  ]
  for (const [name, fileId, as, post, get] of readers) {
    t.test(`T8: ${name}`, async t => {
      t.equal((await call('POST', '/downloads', { token: as, body: { fileId } })).statusCode, post)
      const redirect = await call('GET', `/downloads/${fileId}`, { token: as })
      t.equal(redirect.statusCode, get)
      t.equal(redirect.headers.location !== undefined, get === 307)
    })
  }

  t.test('a redirect leads to the bytes, with the disposition asked for, and is not cached', async t => {
    const redirect = await call('GET', `/downloads/${open}?disposition=attachment`)
    t.equal(redirect.statusCode, 307)
    t.equal(redirect.headers['cache-control'], 'no-store')
    t.equal(redirect.headers['cross-origin-resource-policy'], 'cross-origin')
    const sent = await send({ method: 'GET', url: String(redirect.headers.location), headers: {} })
    t.strictSame(sent.body, picture)
    t.match(sent.headers['content-disposition'], /^attachment/)
  })

  t.test('a bad token on a public file is refused, not ignored', async t => {
    t.equal((await call('GET', `/downloads/${open}`, { token: 'x.y.z' })).statusCode, 401)
  })

  t.test('a file that is not ready is told to its owner and hidden from others', async t => {
    const { file } = (await call('POST', '/uploads', { token: ada, body: { policy: 'notes', filename: 'n', contentType: 'application/pdf', sizeBytes: PDF.length } })).json()
    t.match((await ask({ fileId: file.id })).json(), { status: 409, code: 'FILE_NOT_READY' })
    t.match((await ask({ fileId: file.id }, grace)).json(), { status: 404, code: 'FILE_NOT_FOUND' })
  })
}

function expiryOf (url: string): number {
  const { searchParams } = new URL(url)
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(searchParams.get('X-Amz-Date') ?? '') ?? []
  return Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second)) + Number(searchParams.get('X-Amz-Expires')) * 1000
}
