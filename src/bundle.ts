import type { loadConfig } from './config.js'
import type { startServer } from './server.js'

// What is built into one file: the commands, and the service alone, to warm the file up before what V8 has made of it is kept.

export { explainStartError } from './cli/explain-start-error.js'
export { runCommand } from './cli/run-command.js'

export async function loadService (): Promise<{ loadConfig: typeof loadConfig, startServer: typeof startServer }> {
  return { ...await import('./config.js'), ...await import('./server.js') }
}
