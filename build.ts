import { execFileSync } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, type BuildOptions, type Plugin } from 'esbuild'
import { buildAhead, type BuiltAhead } from './src/launch/build-ahead.js'
import { BUNDLE } from './src/launch/load-bundle.js'

const root = fileURLToPath(new URL('.', import.meta.url))
export const OPTIONS: BuildOptions = { absWorkingDir: root, bundle: true, platform: 'node', target: 'node20', logLevel: 'warning' }

/**
 * Makes dist/ of src/: one file, packages and all, what V8 has compiled of it, and a launcher that gives the one to V8 with the
 * other. Node looks up, reads and links a thousand files otherwise, and V8 compiles them again at every start.
 * @param outdir has to be in the project: what is not put in is looked up from there
 * @returns the path of the command line
 */
export async function buildService (outdir = `${root}dist`): Promise<string> {
  await rm(outdir, { recursive: true, force: true })
  await bundle('src/bundle.ts', outdir)
  await build({ ...OPTIONS, entryPoints: { cli: 'src/launch/launch.ts', 'compile-ahead': 'src/launch/compile-ahead.ts' }, outdir, format: 'esm' })
  // With nothing of this process: V8 compares flags, too.
  execFileSync(process.execPath, ['--disable-warning=ExperimentalWarning', join(outdir, 'compile-ahead.js')], { env: { PATH: process.env['PATH'] }, stdio: ['ignore', 'ignore', 'inherit'] })
  return join(outdir, 'cli.js')
}

/** Makes one file of a program, packages and all, that `loadBundle` runs. */
export async function bundle (entryPoint: string, outdir: string): Promise<void> {
  await build({
    ...OPTIONS,
    entryPoints: [entryPoint],
    outfile: join(outdir, BUNDLE),
    // V8 keeps what it compiled of scripts, not of modules, and a script that was kept cannot import.
    format: 'cjs',
    supported: { 'dynamic-import': false },
    // The form that unused parts can be left out of.
    mainFields: ['module', 'main'],
    // A native package, and one that serves files of its own; both are loaded only where they are wanted.
    external: ['@photostructure/sqlite', '@fastify/swagger-ui', 'pg-native'],
    define: { 'import.meta.url': 'bundleUrl' },
    banner: { js: "(function(exports,require,module,__filename,__dirname){const bundleUrl=require('node:url').pathToFileURL(__filename).href;" },
    footer: { js: '})' },
    charset: 'ascii',
    // A third of the text. Names stay, for stacks.
    minifyWhitespace: true,
    legalComments: 'linked',
    plugins: [whatIsBuiltAhead(await buildAhead())]
  })
}

/** Puts it in place of src/built-ahead.ts. */
function whatIsBuiltAhead ({ programs, description }: BuiltAhead): Plugin {
  const compiled = [...programs.keys()].map(key => `${JSON.stringify(key)}: () => require('schema:${key}')`)
  const contents = `export const compiledSchemas = {${compiled.join()}}; export const description = ${JSON.stringify(description)}`
  return {
    name: 'what is built ahead',
    setup ({ onLoad, onResolve }) {
      onLoad({ filter: /\/built-ahead\.ts$/ }, () => ({ contents, loader: 'js' }))
      onResolve({ filter: /^schema:/ }, ({ path }) => ({ path: path.slice('schema:'.length), namespace: 'schema' }))
      onLoad({ filter: /./, namespace: 'schema' }, ({ path }) => ({ contents: programs.get(path) ?? '', loader: 'js', resolveDir: root }))
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildService()
