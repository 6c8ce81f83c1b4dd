/** What a text tells of one failed request. Whatever it does not tell is left out or empty. */
export interface Evidence {
  readonly method?: string
  readonly url?: URL
  /** With names in lower case, here and below. */
  readonly sent: ReadonlyMap<string, string>
  readonly status?: number
  readonly replied: ReadonlyMap<string, string>
  /** The elements of the store's error document, by name; or else of the service's, `code` as `Code`. */
  readonly error: ReadonlyMap<string, string>
  readonly text: string
}

const MAX_TEXT_CHARACTERS = 1024 ** 2
const URL_PATTERN = /https?:\/\/[^\s"'<>\\]+/g

/**
 * Reads an error document, what `curl -v` prints, a curl command, or a URL with the headers that were sent, in any
 * mixture. Of several requests, as with a redirect, it is the last one.
 */
export function readEvidence (given: string): Evidence {
  const text = given.slice(0, MAX_TEXT_CHARACTERS).replaceAll('\r', '')
  const { request, sent, status, replied } = readExchange(text)
  // The errors of a store hold addresses, too: of its namespace, and of where it is.
  const urls = [...text.replace(/<\?xml.*/s, '').matchAll(URL_PATTERN)].map(([url]) => url)
  const [method, target] = request ?? []
  const asked = target?.startsWith('/') && sent.has('host') ? `http://${sent.get('host')}${target}` : undefined
  // The URL as it was given comes before what a request made of it.
  const url = urls.find(url => url.includes('X-Amz-')) ?? asked ?? urls[0]
  return {
    ...(method !== undefined && { method }),
    ...(url !== undefined && URL.canParse(url) && { url: new URL(url) }),
    sent,
    ...(status !== undefined && { status }),
    replied,
    error: readError(text),
    text
  }
}

interface Exchange {
  request?: readonly [method: string, target: string]
  sent: Map<string, string>
  status?: number
  replied: Map<string, string>
}

function readExchange (text: string): Exchange {
  let exchange: Exchange = { sent: new Map(), replied: new Map() }
  for (const line of text.split('\n')) {
    const request = /^(?:> )?(GET|HEAD|PUT|POST|DELETE|OPTIONS) (\S+)/.exec(line)
    const status = /^(?:< )?HTTP\/[\d.]+ (\d{3})/.exec(line)
    const header = /^([<>] )?([A-Za-z][\w-]*): ?(.*)$/.exec(line)
    if (request) exchange = { sent: new Map(), replied: new Map(), request: [request[1] as string, request[2] as string] }
    else if (status) {
      // After `100 Continue` comes the answer.
      if (!status[1]?.startsWith('1')) exchange.status = Number(status[1])
    } else if (header) {
      const [, mark, name = '', value = ''] = header
      const headers = mark === '< ' || (mark === undefined && exchange.status !== undefined) ? exchange.replied : exchange.sent
      headers.set(name.toLowerCase(), value.trim())
    } else readCommand(line, exchange)
  }
  return exchange
}

/** The method and the headers of a curl command. */
function readCommand (line: string, exchange: Exchange): void {
  for (const [, , header = ''] of line.matchAll(/(?:-H|--header)[ =]?(['"])(.*?)\1/g)) {
    const [name = '', value = ''] = header.split(/:(.*)/s)
    exchange.sent.set(name.toLowerCase(), value.trim())
  }
  const method = /(?:-X|--request)[ =]?['"]?([A-Z]+)/.exec(line)?.[1]
  if (method !== undefined) exchange.request = [method, '']
}

function readError (text: string): Map<string, string> {
  const [, document] = /<Error\b[^>]*>(.*)<\/Error>/s.exec(text) ?? []
  if (document !== undefined) return new Map([...document.matchAll(/<([\w-]+)>([^<]*)<\/\1>/g)].map(([, name = '', value = '']) => [name, decode(value)]))
  const [problem] = /\{.*"code".*\}/s.exec(text) ?? []
  if (problem === undefined) return new Map()
  try {
    const { code, detail } = JSON.parse(problem) as { code?: unknown, detail?: unknown }
    return new Map([['Code', String(code)], ['Detail', String(detail)]])
  } catch {
    return new Map()
  }
}

const ENTITIES = new Map([['lt', '<'], ['gt', '>'], ['quot', '"'], ['apos', '\''], ['amp', '&']])

function decode (text: string): string {
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex?: string, decimal?: string, name = '') => {
    if (hex !== undefined) return String.fromCodePoint(parseInt(hex, 16))
    return decimal === undefined ? ENTITIES.get(name) ?? whole : String.fromCodePoint(Number(decimal))
  })
}
