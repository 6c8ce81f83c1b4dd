import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { buildService } from '../build.js'

/**
 * Builds the service as for production, and makes plain JavaScript of what the bench runs beside it, since a
 * TypeScript loader would be measured too.
 * @returns the path of a compiled file, by its name in `entryPoints`
 */
export async function compile (): Promise<(name: keyof typeof entryPoints | 'presignd') => string> {
  // Inside node_modules, so that imports of packages are found from there.
  const outdir = fileURLToPath(new URL('../node_modules/.cache/presignd/bench/', import.meta.url))
  await build({
    absWorkingDir: fileURLToPath(new URL('..', import.meta.url)),
    entryPoints,
    outdir,
    bundle: true,
    splitting: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning'
  })
  const presignd = await buildService(`${outdir}service`)
  return name => name === 'presignd' ? presignd : `${outdir}${name}.js`
}

const entryPoints = {
  jwt: 'bench/rivals/jwt.ts',
  tutorial: 'bench/rivals/tutorial.ts',
  store: 'bench/store.ts',
  signatures: 'bench/signatures.ts',
  'load-generator': 'bench/load-generator.ts',
  'cpu-probe': 'bench/cpu-probe.ts',
  'turn-probe': 'bench/turn-probe.ts'
}
