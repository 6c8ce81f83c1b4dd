import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Script } from 'node:vm'
import type * as service from '../bundle.js'

type Wrapped = (exports: object, require: NodeJS.Require, module: { readonly exports: object }, file: string, folder: string) => void

export const BUNDLE = 'service.cjs'
/** What V8 has made of the bundle in a process that had started the service: two fifths of the processor time of a start. */
export const COMPILED = 'service.v8'

/**
 * Runs the bundle in a folder that `build.ts` has made, with what was compiled ahead. V8 takes that only for a text of
 * the same length, and from the same version for the same processor, with the same flags of V8 (Node 20 counts --max-old-space-size
 * as one); without it all is the same, only later.
 */
export function loadBundle<Bundle = typeof service> (folder: string): { readonly script: Script, readonly bundle: Bundle } {
  const file = join(folder, BUNDLE)
  const compiled = join(folder, COMPILED)
  // It is ASCII: a string of bytes needs no decoding.
  const script = new Script(readFileSync(file, 'latin1'), {
    filename: file,
    ...(existsSync(compiled) && { cachedData: readFileSync(compiled) })
  })
  const module = { exports: {} };
  (script.runInThisContext() as Wrapped)(module.exports, createRequire(file), module, file, folder)
  return { script, bundle: module.exports as Bundle }
}
