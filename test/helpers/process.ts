import { spawn, type ChildProcess } from 'node:child_process'
import type { Test } from 'tap'

export interface Running {
  readonly child: ChildProcess
  /** All that was written so far. */
  stdout (): string
  stderr (): string
  /** Resolves with the first match in the output; rejects when the process ends before. */
  output (pattern: RegExp): Promise<RegExpExecArray>
  /** The exit code; null after a signal. */
  readonly ended: Promise<number | null>
}

/** Runs Node with the TypeScript loader, and ends the process with the test. */
export function runNode (t: Test, args: readonly string[], env: Readonly<Record<string, string | undefined>> = {}): Running {
  return run(t, process.execPath, ['--disable-warning=ExperimentalWarning', '--import', 'tsx', ...args], env)
}

/** Runs `presignd`, built as it is for production. */
export function runCli (t: Test, args: readonly string[], env: Readonly<Record<string, string | undefined>> = {}): Running {
  return run(t, process.execPath, ['--disable-warning=ExperimentalWarning', builtCli(), ...args], env)
}

/** What test/run.ts has built. */
export function builtCli (): string {
  const { TEST_CLI } = process.env
  if (TEST_CLI === undefined) throw new Error('Run the tests by "npm test -- FILE": it builds what they start')
  return TEST_CLI
}

export function run (t: Test, command: string, args: readonly string[], env: Readonly<Record<string, string | undefined>> = {}): Running {
  // Its own group, as a terminal makes one: a signal reaches what npm started too.
  const child = spawn(command, [...args], { env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const written = { stdout: '', stderr: '' }
  const waiting = new Set<() => void>()
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]?.setEncoding('utf8').on('data', chunk => {
      written[stream] += chunk
      for (const check of waiting) check()
    })
  }
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  t.teardown(async () => {
    signal('SIGKILL')
    await ended
  })
  function signal (name: NodeJS.Signals): void {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
  return {
    child,
    stdout: () => written.stdout,
    stderr: () => written.stderr,
    ended,
    async output (pattern) {
      return await new Promise((resolve, reject) => {
        const check = () => {
          const match = pattern.exec(written.stdout) ?? pattern.exec(written.stderr)
          if (!match) return
          waiting.delete(check)
          resolve(match)
        }
        waiting.add(check)
        check()
        ended.then(code => reject(new Error(`The process ended with ${code} before ${pattern}: ${written.stdout}${written.stderr}`)), reject)
      })
    }
  }
}

/** Sends a signal to a process and all that it started, as Ctrl-C in a terminal does. */
export function interrupt (running: Running, name: NodeJS.Signals = 'SIGINT'): void {
  if (running.child.pid !== undefined) process.kill(-running.child.pid, name)
}
