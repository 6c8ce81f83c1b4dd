import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { compile } from './compile.js'
import type { LoadGenerator } from './load.js'
import type { Plan } from './measure.js'
import { measureTargets, type Target, type TargetRound } from './measure-targets.js'
import { ready, seed, uppyPart } from './operations.js'
import { benchEnvironment, startOnPostgres, startProgram, startServer, UPLOAD, userHeaders, type Program } from './servers.js'

const INSTALLED = fileURLToPath(new URL('rivals/installed/', import.meta.url))

const CREATE = '`POST /uploads`'
const PART = 'URL of a part'
export const ON_POSTGRES = 'presignd on PostgreSQL'

/** What presignd is held against, and how many times cheaper it has to be. */
export const RIVALS: ReadonlyArray<{ readonly label: string, readonly against: string, readonly goal: number | null }> = [
  { label: ON_POSTGRES, against: CREATE, goal: null },
  { label: 'tutorial service with the same row', against: CREATE, goal: 6 },
  { label: 'Companion, `/s3/params`', against: CREATE, goal: 12 },
  { label: 'Companion, URL of a part', against: PART, goal: 25 },
  { label: 'Better Upload on Hono', against: CREATE, goal: null },
  { label: 'Next.js route with `getSignedUrl`', against: CREATE, goal: 18 }
]

/** The measure of presignd that was taken right before that of a rival. */
export const besideOf = (label: string): string => `presignd beside: ${label}`

/** Installs and builds the rivals, once. */
export function installRivals (): void {
  const run = (command: string, ...args: string[]): void => {
    execFileSync(command, args, { cwd: INSTALLED, stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1', AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' } })
  }
  run('npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund')
  run(process.execPath, 'node_modules/next/dist/bin/next', 'build')
}

/** What people use or write instead, each in a process of its own, with presignd measured anew before each of them. */
export async function measureRivals (fileOf: Awaited<ReturnType<typeof compile>>, parent: string, generator: LoadGenerator, plan: Plan): Promise<TargetRound[]> {
  const folder = join(parent, 'rivals')
  mkdirSync(folder)
  const env = benchEnvironment(folder)
  await seed(env['DATABASE_URL'] as string)
  const started: Program[] = []
  const start = async <T extends Program>(starting: Promise<T>): Promise<T> => {
    const program = await starting
    started.push(program)
    return program
  }
  try {
    const ours = await start(startServer('presignd', fileOf, folder, env))
    const onPostgres = await start(startOnPostgres(fileOf, folder))
    const tutorial = await start(startServer('tutorial', fileOf, folder, { ...env, TUTORIAL_DATABASE: join(folder, 'tutorial.db') }))
    const rival = async (name: string): Promise<Program> => await start(startProgram(name, [join(INSTALLED, `${name}.js`)], { fileOf, folder, env }))
    const [companion, betterUpload, next] = [await rival('companion'), await rival('better-upload'), await rival('next')]
    const { filename, contentType, sizeBytes } = UPLOAD
    const json = { 'content-type': 'application/json' }
    const get = ({ url }: Program, path: string) => ({ url, method: 'GET', path, headers: {} })
    const query = new URLSearchParams({ filename, type: contentType })
    const requests: Record<string, Pick<Target, 'child' | 'request'>> = {
      [CREATE]: ours,
      [PART]: { child: ours.child, request: { url: ours.url, headers: await userHeaders(env), ...uppyPart } },
      [ON_POSTGRES]: onPostgres,
      'tutorial service with the same row': tutorial,
      'Companion, `/s3/params`': { child: companion.child, request: get(companion, `/s3/params?${query}`) },
      'Companion, URL of a part': { child: companion.child, request: get(companion, `/s3/multipart/an-upload/1?key=pictures/${ready}.png`) },
      'Better Upload on Hono': { child: betterUpload.child, request: { url: betterUpload.url, method: 'POST', path: '/upload', headers: json, body: JSON.stringify({ route: 'pictures', files: [{ name: filename, type: contentType, size: sizeBytes }] }) } },
      'Next.js route with `getSignedUrl`': { child: next.child, request: { url: next.url, method: 'POST', path: '/uploads', headers: json, body: JSON.stringify({ filename, contentType }) } }
    }
    const hasSignature = (body: string): void => {
      if (!/X-Amz-Signature/i.test(body)) throw new Error(`A reply has no signature: ${body.slice(0, 200)}`)
    }
    const target = (label: string, name: string): Target => ({ ...requests[name] as Pick<Target, 'child' | 'request'>, label, check: hasSignature })
    return await measureTargets(RIVALS.flatMap(({ label, against }) => [target(besideOf(label), against), target(label, label)]), generator, plan, 2)
  } finally {
    for (const program of started) await program.stop()
  }
}
