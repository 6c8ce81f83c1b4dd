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

/** The types of a client, made from a description. */
export async function generateClientTypes (openapiFile: string): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, ['node_modules/openapi-typescript/bin/cli.js', openapiFile], { maxBuffer: 10 * 1024 ** 2 })
  return stdout
}
