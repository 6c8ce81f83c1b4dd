import { loadConfig } from '../config.js'
import { closeOnSignals, startServer } from '../server.js'

type Env = Readonly<Record<string, string | undefined>>

/** Runs the service until it is told to end. SIGHUP is what tools that rotate logs send. */
export async function serve (env: Env): Promise<void> {
  const server = await startServer(loadConfig(env))
  closeOnSignals(server)
  const { reopenAuditLog } = server.services
  if (reopenAuditLog) process.on('SIGHUP', reopenAuditLog)
  server.services.log.info({ listening: server.url }, 'presignd is ready')
}
