import { spawn, spawnSync, type ChildProcess, type StdioOptions } from 'node:child_process'
import { availableParallelism } from 'node:os'

/** With two cores and taskset the load and the server each have their own; otherwise the system places them. */
export const CAN_PIN = availableParallelism() > 1 && spawnSync('taskset', ['-c', '0,1', 'true']).status === 0

export interface NodeOptions {
  /** Null lets the system choose. */
  readonly core: number | null
  readonly env: Readonly<Record<string, string>>
  readonly stdio: StdioOptions
}

/** Plain Node on compiled files, with nothing of the runner's environment but what is given. */
export function startNode (args: readonly string[], { core, env, stdio }: NodeOptions): ChildProcess {
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', ...args]
  // taskset becomes Node, so the process id is the server's own.
  const [command = '', ...rest] = CAN_PIN && core !== null ? ['taskset', '-c', String(core), ...node] : node
  return spawn(command, rest, { stdio, env: { PATH: process.env['PATH'], NODE_ENV: 'production', AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true', ...env } })
}
