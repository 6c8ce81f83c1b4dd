import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'

type Env = Readonly<Record<string, string | undefined>>

/**
 * Says why something was refused, or would be.
 * @param args those of an upload, or `error [FILE]` for what a store answered
 * @returns the exit code
 */
export async function explain (env: Env, args: readonly string[]): Promise<number> {
  const [what, path] = args
  if (what !== 'error') return await (await import('./explain-upload.js')).explainUploadCommand(env, args)
  const { explainError } = await import('../explain/explain-error.js')
  if (path === undefined && process.stdin.isTTY) process.stderr.write('Paste what the store answered, or what curl -v printed, and end with Ctrl-D.\n')
  const said = explainError(path === undefined ? await text(process.stdin) : await readFile(path, 'utf8'), env['AWS_SECRET_ACCESS_KEY'])
  process.stdout.write(`${said ?? 'This says nothing that is known here: try again with what curl -v prints for the request.'}\n`)
  return said === null ? NOT_KNOWN : 0
}

const NOT_KNOWN = 1
