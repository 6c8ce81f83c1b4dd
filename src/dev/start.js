// What `npm run dev` runs: the TypeScript as one file, so that no compiler stays in the memory of the service.
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { buildSync } from 'esbuild'

const outfile = resolve('node_modules/.cache/presignd/dev.js')
buildSync({ entryPoints: ['src/dev/main.ts'], outfile, bundle: true, packages: 'external', platform: 'node', format: 'esm', target: 'node20', logLevel: 'warning' })
await import(pathToFileURL(outfile).href)
