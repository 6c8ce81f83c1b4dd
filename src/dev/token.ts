import { createToken } from '../cli/token.js'
import { explainStartError } from '../cli/explain-start-error.js'
import { devEnvironment } from './dev-environment.js'

// The token for the secret of the environment, or else for the one that `npm run dev` keeps in DATA_DIR.
try {
  const dataDir = process.env['DATA_DIR'] || '.data'
  const env = await devEnvironment(process.env, { dataDir, port: 3000, s3Url: 'http://127.0.0.1:9000' })
  process.stdout.write(`${await createToken(env, process.argv.slice(2))}\n`)
} catch (error) {
  for (const line of explainStartError(error)) process.stderr.write(`presignd: ${line}\n`)
  process.exit(1)
}
