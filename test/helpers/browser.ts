import { existsSync } from 'node:fs'
import { chromium, type Browser, type Page, type Route } from 'playwright-core'

interface Teardown {
  teardown (fn: () => unknown): unknown
}

// The package's own list of flags turns off web security, and CORS is part of what is tested here: so only these.
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'
]

const SYSTEM_BROWSERS: Partial<Record<NodeJS.Platform, readonly string[]>> = {
  darwin: [
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
    '/Applications/Chromium.app/Contents/MacOS/Chromium'
  ],
  linux: ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/usr/bin/google-chrome-stable'],
  win32: [
    'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
    'C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe'
  ]
}

/**
 * Starts a headless Chromium that closes at teardown: the one named by `CHROME_PATH`, on Linux x64 the one that npm
 * installed, elsewhere a Chrome or Chromium of the system.
 *
 * @throws an Error of one line that says what to install
 */
export async function launchBrowser (t: Teardown): Promise<Browser> {
  const executablePath = await findBrowser()
  const browser = await chromium.launch({ executablePath, args: FLAGS, headless: true }).catch((error: unknown) => {
    throw new Error(`${executablePath} did not start. ${ADVICE}`, { cause: error })
  })
  t.teardown(() => browser.close())
  return browser
}

const ADVICE = 'The browser tests need Chrome or Chromium: install it, or name its binary in CHROME_PATH.'

async function findBrowser (): Promise<string> {
  const named = process.env.CHROME_PATH
  if (named) {
    if (existsSync(named)) return named
    throw new Error(`CHROME_PATH names ${named}, which does not exist. ${ADVICE}`)
  }
  if (process.platform === 'linux' && process.arch === 'x64') {
    const { default: packaged } = await import('@sparticuz/chromium')
    return await packaged.executablePath()
  }
  const found = SYSTEM_BROWSERS[process.platform]?.find(path => existsSync(path))
  if (!found) throw new Error(`No browser was found. ${ADVICE}`)
  return found
}

/**
 * Handles the first requests of a kind by itself and lets the others through. Unlike a route with `times`, it never ends:
 * the browser would turn interception off while later requests wait in it, and lose them.
 */
export async function interceptFirst (page: Page, matches: (url: URL) => boolean, times: number, handle: (route: Route) => unknown): Promise<void> {
  let left = times
  await page.route(matches, async route => {
    if (left-- > 0) await handle(route)
    else await route.continue()
  })
}
