import { parseArgs } from 'node:util'
import { ConfigError, loadConfig } from '../config.js'
import { reconcile } from '../jobs/reconcile.js'
import { closeServices, createServices } from '../services.js'

/** What `presignd reconcile` ends with when something is wrong that it did not set right. */
const FOUND = 2

/**
 * Prints a line of JSON for each finding and one with the counts at the end. Without `--apply` nothing is changed.
 * @returns the exit code: 0 when all is well now, 2 when something is left
 */
export async function runReconcile (env: Readonly<Record<string, string | undefined>>, args: readonly string[]): Promise<number> {
  const apply = parse(args)
  const services = await createServices(loadConfig({ ...env, LOG_LEVEL: env['LOG_LEVEL'] ?? 'warn' }))
  const counts = new Map<string, number>()
  let left = 0
  try {
    for await (const finding of reconcile(services, { apply })) {
      process.stdout.write(`${JSON.stringify(finding)}\n`)
      counts.set(finding.kind, (counts.get(finding.kind) ?? 0) + 1)
      if (finding.action === 'none' || finding.action === 'told') left++
    }
    process.stdout.write(`${JSON.stringify({ dryRun: !apply, findings: Object.fromEntries(counts), left })}\n`)
    return left > 0 ? FOUND : 0
  } finally {
    await closeServices(services)
  }
}

function parse (args: readonly string[]): boolean {
  try {
    return parseArgs({ args: [...args], options: { apply: { type: 'boolean', default: false } } }).values.apply
  } catch (error) {
    throw new ConfigError([(error as Error).message])
  }
}
