// What `npm run openapi` runs: writes the two files that are made from the routes.
import { writeFile } from 'node:fs/promises'

process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'
const { generateClientTypes, generateOpenapi } = await import('./openapi.js')

await writeFile('openapi.yaml', await generateOpenapi())
await writeFile('src/client/api-types.ts', await generateClientTypes('openapi.yaml'))
