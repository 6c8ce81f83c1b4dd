import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('.', import.meta.url))

/**
 * Makes dist/ of src/: a few files for each command and what commands share, packages and all. Node looks up, reads and links
 * a thousand files otherwise, which takes most of the start and a third of the memory.
 * @param outdir has to be in the project: what is not put in is looked up from there
 * @returns the path of the command line
 */
export async function buildService (outdir = `${root}dist`): Promise<string> {
  await rm(outdir, { recursive: true, force: true })
  await build({
    absWorkingDir: root,
    entryPoints: ['src/cli.ts'],
    outdir,
    chunkNames: 'chunks/[name]-[hash]',
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    // The form that unused parts can be left out of.
    mainFields: ['module', 'main'],
    // A native package, and one that serves files of its own; both are loaded only where they are wanted.
    external: ['@photostructure/sqlite', '@fastify/swagger-ui', 'pg-native'],
    // Packages written for CommonJS ask for Node's modules at run time.
    banner: { js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);" },
    // A third of the text, which is read at every start. Names stay, for stacks.
    minifyWhitespace: true,
    legalComments: 'linked',
    logLevel: 'warning'
  })
  return join(outdir, 'cli.js')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildService()
