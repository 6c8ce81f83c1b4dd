import { createHmac, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { COMPILED, loadBundle } from './load-bundle.js'

// Starts the service beside it, asks it what is asked most, and keeps what V8 has compiled by then: for this Node on
// this processor. Nothing but a temporary folder is used; the object storage is one that refuses to be asked.

const POLICIES = `policies:
  files:
    contentTypes: [image/*]
    maxSize: 1GiB
    key: "{owner}/{fileId}{ext}"
`

interface Created { readonly file: { readonly id: string } }

const folder = dirname(fileURLToPath(import.meta.url))
rmSync(join(folder, COMPILED), { force: true })
Object.assign(process.env, { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true', AWS_ACCESS_KEY_ID: 'nobody', AWS_SECRET_ACCESS_KEY: 'nothing' })
const { script, bundle } = loadBundle(folder)
const scratch = mkdtempSync(join(tmpdir(), 'presignd-'))
try {
  await warmUp()
} catch (error) {
  process.stderr.write(`presignd: starts will take longer, since the service did not start while it was built: ${bundle.explainStartError(error).join('; ')}\n`)
} finally {
  rmSync(scratch, { recursive: true })
}
writeFileSync(join(folder, COMPILED), script.createCachedData())
process.exit()

async function warmUp (): Promise<void> {
  const policiesFile = join(scratch, 'policies.yaml')
  writeFileSync(policiesFile, POLICIES)
  const secret = randomUUID()
  const env = {
    PORT: '0',
    METRICS_PORT: '0',
    DATABASE_URL: `sqlite:${join(scratch, 'presignd.db')}`,
    POLICIES_FILE: policiesFile,
    S3_BUCKET: 'bucket',
    S3_ENDPOINT: 'http://127.0.0.1:1',
    S3_FORCE_PATH_STYLE: 'true',
    JWT_SECRET: secret,
    JWT_AUDIENCE: 'presignd'
  }
  const { loadConfig, startServer } = await bundle.loadService()
  // Its packages are read although there is no server.
  await startServer(loadConfig({ ...env, DATABASE_URL: 'postgres://127.0.0.1:1/presignd' })).catch(() => {})
  const { url } = await startServer(loadConfig(env))
  const headers = { authorization: `Bearer ${tokenFor('ada', secret)}`, 'content-type': 'application/json' }
  const ask = async (path: string, body?: object): Promise<Created> => {
    const reply = await fetch(url + path, { headers, ...(body && { method: 'POST', body: JSON.stringify(body) }) })
    if (!reply.ok) throw new Error(`${path} was answered with ${reply.status}`)
    return await reply.json() as Created
  }
  for (const path of ['/livez', '/readyz', '/policies', '/files']) await ask(path)
  const { file } = await ask('/uploads', { policy: 'files', filename: 'a.png', contentType: 'image/png', sizeBytes: 1 })
  await ask(`/uploads/${file.id}`)
}

/** HS256, as RFC 7519 has it in its section 3.1. */
function tokenFor (sub: string, secret: string): string {
  const parts = [{ alg: 'HS256', typ: 'JWT' }, { sub, aud: 'presignd', exp: Math.floor(Date.now() / 1000) + 600 }].map(part => Buffer.from(JSON.stringify(part)).toString('base64url'))
  return `${parts.join('.')}.${createHmac('sha256', secret).update(parts.join('.')).digest('base64url')}`
}
