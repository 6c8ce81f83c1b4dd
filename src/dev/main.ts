import { statSync } from 'node:fs'
import { explainStartError } from '../cli/explain-start-error.js'
import { holdBack } from '../logs.js'
import { closeOnSignals } from '../server.js'
import { startDev, type Dev } from './dev.js'

const SAMPLE = 'docs/sample.png'

process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'

const port = Number(process.env['PORT'] || 3000)
const s3Port = Number(process.env['DEV_S3_PORT'] || 9000)
const dataDir = process.env['DATA_DIR'] || '.data'

// The service logs while it starts, and the banner comes first.
const log = holdBack()
try {
  if (process.env['NODE_ENV'] === 'production') throw new Error('development mode does not run with NODE_ENV=production: use npm start')
  const dev = await startDev({ port, s3Port, dataDir, env: process.env, logTo: log })
  closeOnSignals(dev)
  process.stdout.write(await renderBanner(dev))
  log.release()
} catch (error) {
  log.release()
  const isStorePort = (error as { port?: number }).port === s3Port && s3Port !== port
  for (const line of explainStartError(error)) process.stderr.write(`presignd: ${isStorePort ? line.replace(/PORT$/, 'DEV_S3_PORT') : line}\n`)
  process.exit(1)
}

/** The page to open, and three lines that work as they are pasted. */
async function renderBanner (dev: Dev): Promise<string> {
  const token = await dev.issueToken('ada')
  const upload = `${dataDir}/upload.json`
  const field = (path: string) => `$(node -p 'JSON.parse(fs.readFileSync("${upload}")).${path}')`
  const body = JSON.stringify({ policy: 'pictures', filename: 'sample.png', contentType: 'image/png', sizeBytes: statSync(SAMPLE).size })
  return `
  presignd is running, with an embedded S3 store and SQLite

    page    ${dev.url}
    API     ${dev.url}/docs
    store   ${dev.s3Url}, files in ${dataDir}

  Or with curl: create an upload, send the bytes and complete it, download the file.

TOKEN=${token}
curl -fsS ${dev.url}/uploads -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' -d '${body}' -o ${upload}
curl -fsS -T ${SAMPLE} -H 'content-type: image/png' -H 'if-none-match: *' "${field('upload.url')}" --next -fsS -X POST -H "authorization: Bearer $TOKEN" "${dev.url}/uploads/${field('file.id')}/complete"
curl -fsSL -H "authorization: Bearer $TOKEN" "${dev.url}/downloads/${field('file.id')}" -o ${dataDir}/downloaded.png

`
}
