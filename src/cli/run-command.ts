import { ConfigError } from '../config.js'
import { explainStartError } from './explain-start-error.js'

const usage = `Usage: presignd <command>

  serve      start the service, configured by environment variables
  migrate    apply the migrations of the database and end
  sweep      do once what the running service does now and then: complete, give up, delete
  config     check: print every variable and policy as understood, without secrets, or all that is wrong with them
  doctor     look at bucket, store, database and keys of tokens, and tell what to set right; --apply writes CORS and lifecycle rules, --json
  iam        print what the credentials have to be allowed, and what buckets should refuse
  reconcile  compare rows and buckets, and print what does not fit; --apply sets right what can be
  webhooks   deliver what is due and end, replay ID, or enable NAME
  token      print a token for the configured secret: --sub NAME [--scope "a b"] [--expires-in SECONDS]
  explain    why an upload would be refused: --policy NAME --token TOKEN --type TYPE (--name NAME --size BYTES | FILE)
             or what the error of a store means: error [FILE], with its XML or the output of curl -v

All variables are in .env.example.`

/** They do something at once: whoever asks them for help, or for a trial run, must not find it done. */
const WITHOUT_ARGUMENTS = new Set(['serve', 'migrate', 'sweep', 'iam'])

/** What `presignd` does: `args` are those behind its name. Ends the process when the command failed. */
export async function runCommand ([command, ...args]: readonly string[]): Promise<void> {
  // The SDK's notice about Node 20 would be the first thing that an operator reads, at every start.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'
  try {
    if (args.length > 0 && WITHOUT_ARGUMENTS.has(command ?? '')) {
      if (!args.includes('--help')) throw new ConfigError([`${command} takes no arguments, and got ${args.join(' ')}`])
      explainUsage()
      return
    }
    // Each command loads what it needs and no more.
    switch (command) {
      case 'serve': await (await import('./serve.js')).serve(process.env); break
      case 'migrate': await (await import('./migrate.js')).migrateDatabase(process.env); break
      case 'sweep': await (await import('./sweep.js')).sweep(process.env); break
      case 'config': process.exitCode = args.join(' ') === 'check' ? (await import('./check-config.js')).checkConfig(process.env) : explainUsage(); break
      case 'doctor': process.exitCode = await (await import('./doctor.js')).diagnose(process.env, args, endOnSignal()); break
      case 'iam': (await import('./iam.js')).printIamPolicies(process.env); break
      case 'reconcile': process.exitCode = await (await import('./reconcile.js')).runReconcile(process.env, args); break
      case 'webhooks': await (await import('./webhooks.js')).manageWebhooks(process.env, args); break
      case 'token': process.stdout.write(`${await (await import('./token.js')).createToken(process.env, args)}\n`); break
      case 'explain': process.exitCode = await (await import('./explain.js')).explain(process.env, args); break
      default:
        explainUsage()
        process.exitCode = command === undefined || command === 'help' || command === '--help' ? 0 : 2
    }
  } catch (error) {
    for (const line of explainStartError(error)) process.stderr.write(`presignd: ${line}\n`)
    process.exit(1)
  }
}

function explainUsage (): number {
  process.stderr.write(`${usage}\n`)
  return 2
}

/** The first signal asks to end tidily, the second ends. */
function endOnSignal (): AbortSignal {
  const ending = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ending.abort())
  return ending.signal
}
