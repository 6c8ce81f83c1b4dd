import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/**
 * Makes plain JavaScript of the service and of what the bench runs beside it, since a TypeScript loader would be
 * measured too. Packages are loaded from node_modules, as in production.
 * @returns the path of a compiled file, by its name in `entryPoints`
 */
export async function compile (): Promise<(name: keyof typeof entryPoints) => string> {
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
  return name => `${outdir}${name}.js`
}

const entryPoints = {
  presignd: 'src/cli.ts',
  jwt: 'bench/rivals/jwt.ts',
  tutorial: 'bench/rivals/tutorial.ts',
  signatures: 'bench/signatures.ts',
  'load-generator': 'bench/load-generator.ts',
  'cpu-probe': 'bench/cpu-probe.ts'
}
