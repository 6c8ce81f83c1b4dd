import { execFile } from 'node:child_process'
import { copyFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import t from 'tap'
import type * as copy from '../../examples/nextjs/lib/presignd-client.js'
import * as original from '../../src/client/upload.js'
import { makeTemporaryFolder } from '../helpers/s3.js'
import { setScene } from './fixtures/scene.js'

const MAX_COMPRESSED_BYTES = 4096
const TSC = resolve('node_modules/typescript/bin/tsc')
const run = promisify(execFile)

const CONSUMER = `
import { upload, UploadError, type UploadedFile } from 'presignd/client'

const [baseUrl, token] = process.argv.slice(2) as [string, string]
try {
  const file: UploadedFile = await upload(new Blob(['hello'], { type: 'text/plain' }), { baseUrl, token, policy: 'notes', filename: 'a.txt' })
  const status: 'pending' | 'verifying' | 'scanning' | 'ready' | 'rejected' | 'expired' = file.status
  console.log(status)
} catch (error) {
  if (error instanceof UploadError && error.code === 'FILE_TOO_LARGE') console.log(error.detail)
  throw error
}
// @ts-expect-error a policy is needed
export const unused = () => upload(new Blob([]), { baseUrl, token })
// @ts-expect-error there is no such code
export const never = (error: UploadError) => error.code === 'NOT_A_CODE'
`
const BROWSER_CONSUMER = `
import { upload } from 'presignd/client'

document.querySelector('input')!.addEventListener('change', event => {
  const file = (event.target as HTMLInputElement).files![0]!
  void upload(file, { baseUrl: '/api', token: async () => 'token', policy: 'pictures', onProgress: (sent, total) => console.log(sent / total), signal: AbortSignal.timeout(1000) })
})
`

t.test('the client is small: under 4 KB minified and compressed', async t => {
  const { outputFiles } = await build({ entryPoints: ['src/client/upload.ts'], bundle: true, minify: true, format: 'esm', target: 'es2022', write: false })
  const bytes = gzipSync(outputFiles[0]!.contents, { level: 9 }).length
  t.ok(bytes < MAX_COMPRESSED_BYTES, `${bytes} bytes`)
  t.ok(bytes > 1000, 'and it is all there')
})

t.test('examples/nextjs has the client as it is, in one file', async t => {
  const { outputFiles } = await build({ entryPoints: ['src/client/upload.ts'], bundle: true, format: 'esm', target: 'es2022', write: false })
  t.equal(await readFile('examples/nextjs/lib/presignd-client.js', 'utf8'), outputFiles[0]!.text, 'its README says how to renew it')
  // The types beside it are fewer; the compiler checks that they are true.
  const copied: typeof copy.upload = original.upload
  const error: copy.UploadError = new original.UploadError('NETWORK_ERROR', 0, 'gone')
  t.match([copied.name, error.detail], ['upload', 'gone'])
})

t.test('presignd/client of a packed installation', async t => {
  const folder = await makeTemporaryFolder(t)
  const installed = join(folder, 'node_modules/presignd')
  await mkdir(installed, { recursive: true })
  await copyFile('package.json', join(installed, 'package.json'))
  await run(process.execPath, [TSC, '-p', 'src/client', '--outDir', join(installed, 'dist')])
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')

  await t.test('the package has the code and its types, and the build makes them', async t => {
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: installed })
    const [{ files }] = JSON.parse(stdout) as [{ files: Array<{ path: string }> }]
    for (const path of ['dist/client/upload.js', 'dist/client/upload.d.ts', 'dist/client/api-types.d.ts']) t.ok(files.some(file => file.path === path), path)
    const { scripts } = createRequire(import.meta.url)('../../package.json') as { scripts: { build: string } }
    t.match(scripts.build, 'tsc -p src/client')
  })

  await writeFile(join(folder, 'node.ts'), CONSUMER)
  await writeFile(join(folder, 'browser.ts'), BROWSER_CONSUMER)
  await symlink(resolve('node_modules/@types'), join(folder, 'node_modules/@types'))

  // What Node has without a browser, and what a browser has without Node.
  const rows = [
    ['node.ts', ['--module', 'nodenext', '--lib', 'ES2022', '--types', 'node']],
    ['browser.ts', ['--module', 'esnext', '--moduleResolution', 'bundler', '--lib', 'ES2022,DOM', '--typeRoots', './none']]
  ] as const
  for (const [file, environment] of rows) {
    await t.test(`a call in ${file} fits the types`, async t => {
      const options = ['--strict', '--target', 'es2022', ...environment]
      const result = await run(process.execPath, [TSC, file, ...options], { cwd: folder }).catch((error: { stdout: string }) => error)
      t.equal(result.stdout, '')
    })
  }

  await t.test('and Node runs it', async t => {
    const scene = await setScene(t)
    await run(process.execPath, [TSC, 'node.ts', '--module', 'nodenext', '--target', 'es2022', '--types', 'node', '--skipLibCheck', '--noCheck'], { cwd: folder })
    const { stdout } = await run(process.execPath, ['node.js', scene.front.url, scene.token], { cwd: folder })
    t.equal(stdout, 'ready\n')
  })
})
