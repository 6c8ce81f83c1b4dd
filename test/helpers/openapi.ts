import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { buildApp } from '../../src/app.js'
import { loadConfig } from '../../src/config.js'
import { renderOpenapi } from '../../src/plugins/openapi.js'
import { closeServices, createServices } from '../../src/services.js'

/** The description as the service makes it from its routes. */
export async function generateOpenapi (): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'presignd-openapi-'))
  const services = await createServices(loadConfig({
    DATABASE_URL: `sqlite:${join(folder, 'openapi.db')}`,
    POLICIES_FILE: 'policies.example.yaml',
    S3_BUCKET: 'bucket',
    JWT_SECRET: 'a secret that signs nothing, for the description alone',
    JWT_AUDIENCE: 'none',
    LOG_LEVEL: 'silent'
  }))
  const app = await buildApp(services)
  await app.ready()
  const text = renderOpenapi(app)
  await app.close()
  await closeServices(services)
  await rm(folder, { recursive: true })
  return text
}

/** The types of a client, made from a description, in the style that the linter asks for. */
export async function generateClientTypes (openapiFile: string): Promise<string> {
  return await format(await runNode('node_modules/openapi-typescript/bin/cli.js', [openapiFile]), 'src/client/api-types.ts')
}

/** What the linter makes of a text that would be this file. */
async function format (text: string, path: string): Promise<string> {
  const report = await runNode('node_modules/eslint/bin/eslint.js', ['--fix-dry-run', '--format=json', '--stdin', `--stdin-filename=${path}`], text)
  const [result] = JSON.parse(report) as Array<{ output?: string }>
  return result?.output ?? text
}

async function runNode (program: string, args: readonly string[], input = ''): Promise<string> {
  const running = promisify(execFile)(process.execPath, [program, ...args], { maxBuffer: 10 * 1024 ** 2 })
  running.child.stdin?.end(input)
  return (await running).stdout
}
