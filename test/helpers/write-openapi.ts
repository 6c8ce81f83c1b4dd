// What `npm run openapi` runs: writes what is made from the routes, the codes of errors, the variables and the text of the picture.
import { readFile, writeFile } from 'node:fs/promises'
import { renderFlow } from './flow.js'
import { renderConfigurationPage, renderErrorsPage } from './pages.js'

process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'
const { generateClientTypes, generateOpenapi } = await import('./openapi.js')

await writeFile('openapi.yaml', await generateOpenapi())
await writeFile('src/client/api-types.ts', await generateClientTypes('openapi.yaml'))
await writeFile('docs/errors.md', renderErrorsPage(await readFile('openapi.yaml', 'utf8')))
await writeFile('docs/configuration.md', renderConfigurationPage())
await writeFile('docs/flow.svg', renderFlow(await readFile('docs/flow.txt', 'utf8')))
