import { createServer, type AddressInfo, type LookupFunction } from 'node:net'
import t, { type Test } from 'tap'
import { FILE_EVENT_TYPES } from '../../src/files/file-events.js'
import { classifyAddress } from '../../src/webhooks/address-rules.js'
import { loadEndpoint } from '../../src/webhooks/load-endpoints.js'
import { sendWebhook, systemLookup } from '../../src/webhooks/send-webhook.js'
import type { WebhookEndpoint } from '../../src/webhooks/webhook-endpoint.js'
import { startReceiver } from '../helpers/receiver.js'
import { HOOK_SECRET } from '../helpers/webhooks.js'

t.test('T37: what an address is', async t => {
  const table: ReadonlyArray<[address: string, reach: ReturnType<typeof classifyAddress>]> = [
    ['8.8.8.8', 'public'],
    ['172.15.255.255', 'public'],
    ['172.32.0.0', 'public'],
    ['100.63.255.255', 'public'],
    ['223.255.255.255', 'public'],
    ['2606:4700::1111', 'public'],
    ['2a00:1450:4001::200e', 'public'],
    ['127.0.0.1', 'private'],
    ['127.255.255.254', 'private'],
    ['10.0.0.0', 'private'],
    ['10.255.255.255', 'private'],
    ['172.16.0.1', 'private'],
    ['172.31.255.255', 'private'],
    ['192.168.0.1', 'private'],
    ['100.64.0.1', 'private'],
    ['100.127.255.255', 'private'],
    ['::1', 'private'],
    ['fc00::1', 'private'],
    ['fd12:3456::1', 'private'],
    ['0.0.0.0', 'forbidden'],
    ['0.1.2.3', 'forbidden'],
    ['169.254.169.254', 'forbidden'],
    ['192.0.0.192', 'forbidden'],
    ['192.0.2.1', 'forbidden'],
    ['192.88.99.1', 'forbidden'],
    ['198.18.0.1', 'forbidden'],
    ['198.51.100.1', 'forbidden'],
    ['203.0.113.1', 'forbidden'],
    ['224.0.0.1', 'forbidden'],
    ['239.255.255.255', 'forbidden'],
    ['240.0.0.1', 'forbidden'],
    ['255.255.255.255', 'forbidden'],
    ['::', 'forbidden'],
    ['::127.0.0.1', 'forbidden'],
    ['::ffff:127.0.0.1', 'forbidden'],
    ['::ffff:7f00:1', 'forbidden'],
    ['::ffff:8.8.8.8', 'forbidden'],
    ['64:ff9b::a9fe:a9fe', 'forbidden'],
    ['64:ff9b:1::a9fe:a9fe', 'forbidden'],
    ['100::1', 'forbidden'],
    ['2001::1', 'forbidden'],
    ['2001:0:4136:e378:8000:63bf:3fff:fdd2', 'forbidden'],
    ['2001:db8::1', 'forbidden'],
    ['2002:7f00:1::', 'forbidden'],
    ['3fff::1', 'forbidden'],
    ['fe80::1', 'forbidden'],
    ['fe80::1%lo', 'forbidden'],
    ['2606:4700::1111%eth0', 'forbidden'],
    ['fec0::1', 'forbidden'],
    ['ff02::1', 'forbidden'],
    ['5f00::1', 'forbidden'],
    ['localhost', 'forbidden'],
    ['', 'forbidden']
  ]
  for (const [address, reach] of table) t.equal(classifyAddress(address), reach, address)
})

const endpoint = (url: string, allowPrivateAddresses = false): WebhookEndpoint => ({ name: 'app', url: new URL(url), events: new Set(FILE_EVENT_TYPES), policies: null, secrets: [Buffer.alloc(32)], includeKey: false, allowPrivateAddresses })
const options = { timeoutMs: 10_000, lookup: systemLookup }
const REFUSED = { status: null, error: 'the address is none that this webhook may go to' }

/** Answers every name with these addresses, and counts the questions. */
function answers (...addresses: string[]): LookupFunction & { asked: number } {
  const lookup = (_name: string, _options: object, callback: Parameters<LookupFunction>[2]): void => {
    lookup.asked++
    callback(null, addresses.map(address => ({ address, family: address.includes(':') ? 6 : 4 })))
  }
  lookup.asked = 0
  return lookup
}

/** A socket that every address of this machine leads to. */
async function listen (t: Test) {
  let connections = 0
  const server = createServer(socket => {
    connections++
    socket.destroy()
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', () => { server.listen(0, '0.0.0.0', resolve).once('error', reject) })
    server.listen(0, '::', resolve)
  })
  t.teardown(() => { server.close() })
  return { port: (server.address() as AddressInfo).port, connections: () => connections }
}

const PRIVATE_HOSTS = [
  '127.0.0.1', '127.1', '0x7f000001', '0x7f.1', '2130706433', '017700000001', '0177.0.0.1', '0', '0.0.0.0', '127.0.0.1.', '①②⑦.⓪.⓪.①',
  '[::1]', '[::]', '[::ffff:7f00:1]', '[::ffff:127.0.0.1]', '[::127.0.0.1]', '[64:ff9b::a9fe:a9fe]', '[64:ff9b::7f00:1]', '[2002:7f00:1::]', '[2001:0:4136:e378:8000:63bf:80ff:fffe]', '[fe80::1]',
  '169.254.169.254', '10.0.0.1', '192.168.1.1', '172.16.0.1', '100.100.100.200', '192.0.0.192', '198.18.0.1', '224.0.0.1', '255.255.255.255'
]

t.test('T37: no notation of an address leads inside', async t => {
  const { port, connections } = await listen(t)
  for (const host of PRIVATE_HOSTS) {
    t.strictSame(await sendWebhook(endpoint(`https://${host}:${port}/`), {}, '{}', options), REFUSED, host)
  }
  t.equal(connections(), 0)
  t.match(await sendWebhook(endpoint(`http://127.1:${port}/`, true), {}, '{}', options), { status: null, error: /^the connection failed/ })
  t.equal(connections(), 1, 'while the same socket is reached where that is allowed')
})

t.test('T37: no name leads inside', async t => {
  const { port, connections } = await listen(t)
  for (const name of ['localhost', 'LOCALHOST']) t.strictSame(await sendWebhook(endpoint(`https://${name}:${port}/`), {}, '{}', options), REFUSED, name)
  // Not every system knows a name with a dot behind it, and where it does, it means the same.
  t.strictSame(await sendWebhook(endpoint(`https://localhost.:${port}/`), {}, '{}', { ...options, lookup: answers('127.0.0.1') }), REFUSED)
  const foreign = [['127.0.0.1'], ['::1'], ['169.254.169.254'], ['::ffff:127.0.0.1'], ['64:ff9b::7f00:1'], ['8.8.8.8', '127.0.0.1'], ['2606:4700::1111', '::1']]
  for (const addresses of foreign) {
    const lookup = answers(...addresses)
    t.strictSame(await sendWebhook(endpoint(`https://app.example:${port}/`), {}, '{}', { ...options, lookup }), REFUSED, addresses.join())
    t.equal(lookup.asked, 1)
  }
  t.equal(connections(), 0)
})

t.test('T37: a name that answers otherwise the second time is not asked a second time', async t => {
  const receiver = await startReceiver(t)
  const lookup = answers('127.0.0.1')
  t.strictSame(await sendWebhook(endpoint(receiver.url.replace('127.0.0.1', 'app.example'), true), {}, '{}', { ...options, lookup }), { status: 204 })
  t.equal(lookup.asked, 1, 'what was looked at is what was connected to')
})

t.test('T37: a network of one\'s own is no way to the metadata of the cloud, and plain http no way to the Internet', async t => {
  for (const address of ['169.254.169.254', '0.0.0.0', '224.0.0.1', '::ffff:169.254.169.254', '64:ff9b::a9fe:a9fe']) {
    t.strictSame(await sendWebhook(endpoint('http://app.internal:1/', true), {}, '{}', { ...options, lookup: answers(address) }), REFUSED, address)
  }
  t.strictSame(await sendWebhook(endpoint('http://app.example:1/', true), {}, '{}', { ...options, lookup: answers('8.8.8.8') }), REFUSED)
})

t.test('T37: a redirect is an answer, and not followed', async t => {
  const inside = await startReceiver(t)
  const outside = await startReceiver(t)
  for (const status of [301, 302, 303, 307, 308]) {
    outside.answer(response => { response.writeHead(status, { location: inside.url }).end() })
    t.strictSame(await sendWebhook(endpoint(outside.url, true), {}, '{}', options), { status })
  }
  t.equal(outside.received.length, 5)
  t.equal(inside.connections(), 0)
})

t.test('no proxy of the environment is used', async t => {
  const proxy = await startReceiver(t)
  const receiver = await startReceiver(t)
  const saved = { ...process.env }
  t.teardown(() => { process.env = saved })
  for (const name of ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY', 'ALL_PROXY']) process.env[name] = proxy.url
  process.env['NODE_USE_ENV_PROXY'] = '1'
  t.strictSame(await sendWebhook(endpoint(receiver.url, true), {}, '{}', options), { status: 204 })
  t.equal(proxy.connections(), 0)
})

t.test('T41: what an entry must be', async t => {
  const good = { url: 'https://app.example/hook', secretFrom: 'HOOK_SECRET' }
  const load = (entry: object, secret: string | undefined = HOOK_SECRET) => {
    const problems: Array<[string, string]> = []
    const loaded = loadEndpoint('app', { ...good, ...entry }, { policyNames: new Set(['pictures']), variable: name => name === 'HOOK_SECRET' ? secret : undefined }, problems)
    return { loaded, problem: problems.map(problem => problem.join(': ')).join('\n') }
  }
  const bytes = (length: number) => `whsec_${Buffer.alloc(length, 7).toString('base64')}`
  const table: ReadonlyArray<[name: string, entry: object, secret: string | undefined, problem: RegExp | null]> = [
    ['the least', {}, HOOK_SECRET, null],
    ['two secrets', {}, `${HOOK_SECRET}  ${bytes(24)}\n`, null],
    ['the shortest and the longest secret', {}, `${bytes(24)} ${bytes(64)}`, null],
    ['an internal receiver', { url: 'http://app.internal:8080/hook', allowPrivateAddresses: true }, HOOK_SECRET, null],
    ['loopback', { url: 'http://127.0.0.1:8080/hook', allowPrivateAddresses: true }, HOOK_SECRET, null],
    ['no secret', {}, '', /^secretFrom: HOOK_SECRET is not set/],
    ['a secret of 23 bytes', {}, bytes(23), /^secretFrom: HOOK_SECRET must hold secrets of 24 to 64 bytes \(one has 23\)/],
    ['a secret of 65 bytes', {}, bytes(65), /^secretFrom: .* \(one has 65\)/],
    ['a short one beside a good one', {}, `${HOOK_SECRET} ${bytes(8)}`, /^secretFrom: .* \(one has 8\)/],
    ['a secret without its prefix', {}, Buffer.alloc(32).toString('base64'), /^secretFrom: HOOK_SECRET must hold whsec_ and base64/],
    ['a secret that is no base64', {}, 'whsec_AAAA!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', /^secretFrom: HOOK_SECRET must hold whsec_ and base64/],
    ['three secrets', {}, `${HOOK_SECRET} ${bytes(24)} ${bytes(25)}`, /^secretFrom: HOOK_SECRET holds 3 secrets/],
    ['another variable that is not set', { secretFrom: 'OTHER' }, HOOK_SECRET, /^secretFrom: OTHER is not set/],
    ['plain http', { url: 'http://app.example/hook' }, HOOK_SECRET, /^url: it must be an https URL; http is for private networks/],
    ['plain http to a public address', { url: 'http://8.8.8.8/', allowPrivateAddresses: true }, HOOK_SECRET, /^url: it must be an https URL, since its address is public/],
    ['another scheme', { url: 'ftp://app.example/' }, HOOK_SECRET, /^url: it must be an https URL/],
    ['no URL', { url: '/hook' }, HOOK_SECRET, /^url: it is not a URL/],
    ['credentials in the URL', { url: 'https://a:b@app.example/' }, HOOK_SECRET, /^url: it must not hold credentials/],
    ['a private address', { url: 'https://10.0.0.1/' }, HOOK_SECRET, /^url: its address is private/],
    ['a private address in other words', { url: 'https://0x7f000001/' }, HOOK_SECRET, /^url: its address is private/],
    ['localhost', { url: 'https://localhost./' }, HOOK_SECRET, /^url: its address is private/],
    ['the metadata of the cloud', { url: 'http://169.254.169.254/', allowPrivateAddresses: true }, HOOK_SECRET, /^url: its address is none/],
    ['a policy that is not there', { policies: ['pictures', 'films'] }, HOOK_SECRET, /^policies: there is no policy "films"/]
  ]
  for (const [name, entry, secret, expected] of table) {
    t.test(name, async t => {
      const { problem } = load(entry, secret)
      if (expected === null) t.equal(problem, '')
      else t.match(problem, expected)
      for (const text of (secret ?? '').split(/\s+/).filter(text => text !== '')) t.notOk(problem.includes(text), 'the secret is not told')
    })
  }
  t.match(load({}).loaded, { events: new Set(FILE_EVENT_TYPES), policies: null, includeKey: false, allowPrivateAddresses: false })
})
