import { lookup as resolveName, type LookupAddress } from 'node:dns'
import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { classifyAddress } from './address-rules.js'
import type { WebhookEndpoint } from './webhook-endpoint.js'

/** What became of one POST. */
export type SendOutcome =
  | { readonly status: number, readonly retryAfter?: string }
  /** There was no answer; `error` says why, without addresses or URLs. */
  | { readonly status: null, readonly error: string }

export interface SendOptions {
  /** How long the whole exchange may take, in milliseconds. */
  readonly timeoutMs: number
  /** Asks for the addresses of a name; those that it gives are the ones connected to. */
  readonly lookup: LookupFunction
}

/** More than this of an answer is not even received. */
const MAX_RESPONSE_BYTES = 64 * 1024
const REFUSED = 'the address is none that this webhook may go to'

class AddressRefused extends Error {}

/**
 * Sends one webhook. Which addresses are allowed is decided on those that the connection is made to, at the
 * moment it is made: a name that changes its address later, or has several, leads nowhere else. No redirect is
 * followed, no proxy is used, and of the answer only its status counts.
 */
export async function sendWebhook (endpoint: WebhookEndpoint, headers: Readonly<Record<string, string>>, body: string, { timeoutMs, lookup }: SendOptions): Promise<SendOutcome> {
  const { url } = endpoint
  const host = url.hostname.replace(/^\[|\]$/g, '')
  // A literal address is connected to without a lookup.
  if (isIP(host) !== 0 && !isAllowed(endpoint, host)) return { status: null, error: REFUSED }
  const { request } = url.protocol === 'https:' ? https : http
  return await new Promise(resolve => {
    // A status that has arrived stays, whatever happens to the rest.
    let answer: SendOutcome | undefined
    const end = (error: string): void => {
      clearTimeout(timer)
      outgoing.destroy()
      resolve(answer ?? { status: null, error })
    }
    const outgoing = request(url, {
      method: 'POST',
      headers: { ...headers, 'content-length': Buffer.byteLength(body) },
      lookup: guard(endpoint, lookup),
      // A connection for each: one that is kept could be one of another day's address.
      agent: false
    }, incoming => {
      const retryAfter = incoming.headers['retry-after']
      answer = { status: incoming.statusCode ?? 0, ...(retryAfter !== undefined && { retryAfter }) }
      discard(incoming, () => end(''))
    })
    const timer = setTimeout(() => end('no answer in time'), timeoutMs)
    outgoing.on('error', error => end(explain(error))).end(body)
  })
}

/** Reads and forgets, up to a limit. */
function discard (incoming: IncomingMessage, done: () => void): void {
  let bytes = 0
  incoming.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > MAX_RESPONSE_BYTES) done()
  })
  incoming.on('error', done).on('close', done).on('end', done)
}

/** Refuses a name when any of its addresses is not allowed. */
function guard (endpoint: WebhookEndpoint, lookup: LookupFunction): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      const addresses: LookupAddress[] = Array.isArray(found) ? found : []
      const [first] = addresses
      if (error) return callback(error, '', 0)
      if (!first || !addresses.every(({ address }) => isAllowed(endpoint, address))) return callback(new AddressRefused(), '', 0)
      if (options.all === true) callback(null, addresses)
      else callback(null, first.address, first.family)
    })
  }
}

function isAllowed ({ url, allowPrivateAddresses }: WebhookEndpoint, address: string): boolean {
  const reach = classifyAddress(address)
  // What goes out in the clear must not leave the private network.
  if (reach === 'public') return url.protocol === 'https:'
  return reach === 'private' && allowPrivateAddresses
}

/** Codes of Node and OpenSSL, which name no host; messages would. */
function explain (error: NodeJS.ErrnoException): string {
  if (error instanceof AddressRefused) return REFUSED
  return error.code === undefined ? 'the connection failed' : `the connection failed: ${error.code}`
}

/** The system's resolver: files and DNS. */
export const systemLookup: LookupFunction = (hostname, options, callback) => resolveName(hostname, options, callback)
