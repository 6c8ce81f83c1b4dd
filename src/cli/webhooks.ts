import { ConfigError, loadConfig } from '../config.js'
import { deliverWebhooks } from '../jobs/deliver-webhooks.js'
import { closeServices, createServices, type Services } from '../services.js'
import { replayDelivery } from '../webhooks/replay-delivery.js'

const USAGE = 'usage: presignd webhooks deliver | replay ID | enable NAME'

/**
 * What an operator does with webhooks; safe beside running services.
 * @param args `deliver` sends what is due and forgets what is old, `replay ID` makes an event due again, and
 *   `enable NAME` takes up a webhook that answered 410
 */
export async function manageWebhooks (env: Readonly<Record<string, string | undefined>>, args: readonly string[]): Promise<void> {
  const [action, name] = args
  const run = ACTIONS.get(action ?? '')
  if (!run || args.length !== (action === 'deliver' ? 1 : 2)) throw new ConfigError([USAGE])
  const services = await createServices(loadConfig({ ...env, LOG_LEVEL: env['LOG_LEVEL'] ?? 'warn' }))
  try {
    process.stdout.write(`${await run(services, name ?? '')}\n`)
  } finally {
    await closeServices(services)
  }
}

const ACTIONS = new Map<string, (services: Services, name: string) => Promise<string>>([
  ['deliver', async services => {
    const { outbox, endpoints } = services.webhooks
    const report = await deliverWebhooks(services)
    const pruned = await outbox.prune([...endpoints.keys()], services.now())
    return JSON.stringify({ ...report, pruned, disabled: [...await outbox.disabledEndpoints(services.now())] })
  }],
  ['replay', async (services, id) => {
    const { endpoint, type } = await replayDelivery(services, id)
    return `${type} will be sent to ${endpoint}`
  }],
  ['enable', async ({ webhooks }, name) => {
    if (!webhooks.endpoints.has(name)) throw new ConfigError([`there is no webhook "${name}" in the policies file`])
    return await webhooks.outbox.enable(name) ? `${name} is enabled` : `${name} was not disabled`
  }]
])
