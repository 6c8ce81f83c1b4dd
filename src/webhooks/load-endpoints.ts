import { isIP } from 'node:net'
import { FILE_EVENT_TYPES } from '../files/file-events.js'
import { classifyAddress } from './address-rules.js'
import type { WebhookEndpoint, WebhookEntry } from './webhook-endpoint.js'

/** @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme */
const MIN_SECRET_BYTES = 24
const MAX_SECRET_BYTES = 64
const MAX_SECRETS = 2
const SECRET_ADVICE = 'make one with "echo whsec_$(openssl rand -base64 32)"'

export interface WebhookContext {
  readonly policyNames: ReadonlySet<string>
  /** The value of a variable of the environment. */
  readonly variable: (name: string) => string | undefined
}

/**
 * Turns an entry of the policies file into an endpoint.
 * @param problems gets what is wrong, by field; no secret and no URL is repeated in it
 */
export function loadEndpoint (name: string, entry: WebhookEntry, { policyNames, variable }: WebhookContext, problems: Array<[field: string, problem: string]>): WebhookEndpoint {
  const allowPrivateAddresses = entry.allowPrivateAddresses ?? false
  for (const policy of entry.policies ?? []) if (!policyNames.has(policy)) problems.push(['policies', `there is no policy "${policy}"`])
  return {
    name,
    url: parseUrl(entry.url, allowPrivateAddresses, problems),
    events: new Set(entry.events ?? FILE_EVENT_TYPES),
    policies: entry.policies ? new Set(entry.policies) : null,
    secrets: parseSecrets(entry.secretFrom, variable(entry.secretFrom), problems),
    includeKey: entry.includeKey ?? false,
    allowPrivateAddresses
  }
}

function parseUrl (text: string, allowPrivateAddresses: boolean, problems: Array<[string, string]>): URL {
  const problem = (message: string): URL => {
    problems.push(['url', message])
    return new URL('https://invalid.invalid')
  }
  if (!URL.canParse(text)) return problem('it is not a URL')
  const url = new URL(text)
  if (url.username !== '' || url.password !== '' || url.hash !== '') return problem('it must not hold credentials or a fragment')
  if (url.protocol === 'http:' && !allowPrivateAddresses) return problem('it must be an https URL; http is for private networks, with allowPrivateAddresses: true')
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return problem('it must be an https URL')
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const reach = isIP(host) === 0 ? null : classifyAddress(host)
  if (reach === 'forbidden') return problem('its address is none that a webhook may go to')
  if (reach === 'public' && url.protocol === 'http:') return problem('it must be an https URL, since its address is public')
  const isPrivate = reach === 'private' || /^localhost\.?$/.test(host)
  if (isPrivate && !allowPrivateAddresses) return problem('its address is private: allow that with allowPrivateAddresses: true')
  return url
}

function parseSecrets (name: string, value: string | undefined, problems: Array<[string, string]>): Buffer[] {
  const problem = (message: string): void => { problems.push(['secretFrom', message]) }
  const texts = (value ?? '').split(/\s+/).filter(text => text !== '')
  if (texts.length === 0) problem(`${name} is not set: ${SECRET_ADVICE}`)
  if (texts.length > MAX_SECRETS) problem(`${name} holds ${texts.length} secrets; it takes the present one and the one before`)
  return texts.map(text => {
    const [, base64] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text) ?? []
    const secret = Buffer.from(base64 ?? '', 'base64')
    if (base64 === undefined || secret.toString('base64').replace(/=+$/, '') !== base64.replace(/=+$/, '')) problem(`${name} must hold whsec_ and base64: ${SECRET_ADVICE}`)
    else if (secret.length < MIN_SECRET_BYTES || secret.length > MAX_SECRET_BYTES) problem(`${name} must hold secrets of ${MIN_SECRET_BYTES} to ${MAX_SECRET_BYTES} bytes (one has ${secret.length}): ${SECRET_ADVICE}`)
    return secret
  })
}
