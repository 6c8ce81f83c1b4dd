// What `npm test` runs after the linter and the compiler: one PostgreSQL and one build for all test files, then tap.
// Arguments are handed to tap: `npm test -- test/uploads/*.test.ts`.
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { buildService } from '../build.js'
import { makeCacheFolder } from './helpers/cache-folder.js'
import { makeTemplate, startPostgres, type PostgresServer } from './helpers/postgres.js'
import { TapReader } from './helpers/tap-reader.js'

// A reader that left early (`| head`) must not keep the server from being stopped.
process.stdout.on('error', () => {})
process.exit(await run(process.argv.slice(2)))

async function run (args: readonly string[]): Promise<number> {
  let server: PostgresServer | undefined
  if (!process.env.TEST_POSTGRES_URL) {
    try {
      server = await startPostgres()
    } catch (error) {
      console.error(error instanceof Error ? error.message : error)
      return 1
    }
  }
  const folder = await makeCacheFolder('test-')
  try {
    // The SDK's notice about Node 20 would stand in every log.
    const env = {
      AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
      ...process.env,
      ...(server && { TEST_POSTGRES_URL: server.url, TEST_POSTGRES_TEMPLATE: await makeTemplate(server.url) }),
      TEST_CLI: await buildService(folder),
      NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --import=${new URL('helpers/loader.js', import.meta.url).href}`
    }
    const tap = new TapReader()
    const chosen = args.some(arg => /^(-R|--reporter)/.test(arg))
    const exitCode = process.stdout.isTTY || chosen
      ? await runWithReporter(args, env, tap)
      : await runWithShortLog(args, env, tap)
    return report(exitCode, tap)
  } finally {
    await server?.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

/** For a terminal: tap draws its own report, and the totals are read from a file it writes beside it. */
async function runWithReporter (args: readonly string[], env: NodeJS.ProcessEnv, tap: TapReader): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'presignd-tap-'))
  try {
    const file = join(folder, 'output.tap')
    const exitCode = await runTap([...args, `--output-file=${file}`], env)
    const output = await readFile(file, 'utf8').catch(() => '')
    for (const line of output.split('\n')) tap.read(line)
    return exitCode
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** For a pipe or a log, where tap's reports would redraw themselves: one line per file, and all about failures. */
async function runWithShortLog (args: readonly string[], env: NodeJS.ProcessEnv, tap: TapReader): Promise<number> {
  return await runTap([...args, '--reporter=tap'], env, line => { if (tap.read(line)) console.log(line) })
}

async function runTap (args: readonly string[], env: NodeJS.ProcessEnv, onLine?: (line: string) => void): Promise<number> {
  const program = fileURLToPath(new URL('dist/esm/run.mjs', import.meta.resolve('tap/package.json')))
  const child = spawn(process.execPath, [program, ...args], { env, stdio: ['inherit', onLine ? 'pipe' : 'inherit', 'inherit'] })
  if (onLine && child.stdout) createInterface({ input: child.stdout }).on('line', onLine)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => { child.kill(signal) })
  return await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)))
  })
}

/** Prints the totals and returns the exit code: nothing may be skipped in silence, and no tests at all is a failure. */
function report (exitCode: number, { passed, failed, skipped }: TapReader): number {
  for (const name of skipped) console.log(`Skipped, which counts as a failure here: ${name}`)
  if (passed + failed === 0) console.log('No test ran.')
  console.log(`${passed} passed, ${failed + skipped.length} failed`)
  if (exitCode !== 0) return exitCode
  return failed + skipped.length > 0 || passed === 0 ? 1 : 0
}
