import { loadConfig } from '../config.js'
import { sweepUploads } from '../jobs/sweep-uploads.js'
import { closeServices, createServices } from '../services.js'

/** Sweeps once and prints what was done. Safe beside running services. */
export async function sweep (env: Readonly<Record<string, string | undefined>>): Promise<void> {
  const services = await createServices(loadConfig({ ...env, LOG_LEVEL: env['LOG_LEVEL'] ?? 'warn' }))
  try {
    process.stdout.write(`${JSON.stringify(await sweepUploads(services))}\n`)
  } finally {
    await closeServices(services)
  }
}
