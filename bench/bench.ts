import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { checkRows } from './check-answers.js'
import { compile } from './compile.js'
import { startLoadGenerator } from './load.js'
import { measureRounds, newTally, type Plan, type Round } from './measure.js'
import { measureCalm } from './measure-calm.js'
import { measureComplete } from './measure-complete.js'
import { measureGarbage } from './measure-garbage.js'
import { measureGrowth } from './measure-growth.js'
import { measureMemory } from './measure-memory.js'
import { measurePostgres } from './measure-postgres.js'
import { measureOperations } from './measure-operations.js'
import { measureSoak } from './measure-soak.js'
import { measureTurns } from './measure-turns.js'
import { installRivals, measureRivals } from './measure-rivals.js'
import { measureStarts } from './measure-start.js'
import { measureSignatures } from './measure-signatures.js'
import { findMissed } from './goals.js'
import { renderReport, renderSoak, renderSummary } from './report.js'
import { benchEnvironment, SERVERS, startServer, type Server, type ServerName } from './servers.js'

const FULL: readonly Plan[] = [
  { connections: 50, rounds: 5, warmUpSeconds: 2, seconds: 3 },
  { connections: 1, rounds: 3, warmUpSeconds: 0.5, seconds: 1.5 }
]
const QUICK: readonly Plan[] = [
  { connections: 50, rounds: 3, warmUpSeconds: 1, seconds: 1.5 },
  { connections: 1, rounds: 2, warmUpSeconds: 0.3, seconds: 0.7 }
]
/** Warmed up for as long as V8 takes to have compiled what is hot. */
const RIVALS: Plan = { connections: 50, rounds: 5, warmUpSeconds: 2, seconds: 1.5 }
const OPERATIONS: Plan = { connections: 50, rounds: 3, warmUpSeconds: 1, seconds: 1.5 }
const GROWTH: Plan = { ...OPERATIONS, rounds: 5 }
const COMPLETE_ROUNDS = 3
const CALM_ROUNDS = 3
const STARTS = 5
const SIGNATURES = { rounds: 15, batchMs: 150 }
const QUICK_SIGNATURES = { rounds: 7, batchMs: 80 }

const { values: { quick: isQuick, rows: rowsText, soak: soakText } } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, rows: { type: 'string', default: '1000000' }, soak: { type: 'string' } }
})
/** Of the larger database that growth is measured on. */
const growthRows = Number(rowsText)
if (!Number.isSafeInteger(growthRows) || growthRows < 1) throw new RangeError(`--rows takes a number of rows, not "${rowsText}"`)
const soakMinutes = Number(soakText ?? 1)
if (!(soakMinutes > 0)) throw new RangeError(`--soak takes a number of minutes, not "${soakText}"`)
const NOTHING_ELSE = { rivals: [], operations: { all: [], oneCaller: [] }, complete: [], growth: [], starts: [], memory: null, postgres: [], calm: [], turns: [], garbage: null }
const startedAt = new Date()
if (!isQuick && soakText === undefined) installRivals()
const loadBefore = loadavg()[0] ?? 0
const fileOf = await compile()
// Beside the compiled files and not in the system's folder for such, which may be in memory: a commit to memory is no commit.
const folder = mkdtempSync(fileURLToPath(new URL('../node_modules/.cache/presignd/bench/run-', import.meta.url)))
const env = benchEnvironment(folder)
const servers = new Map<ServerName, Server>()
const generator = startLoadGenerator(fileOf('load-generator'), 0)
try {
  if (soakText === undefined) await compare()
  else process.stdout.write(`${renderSoak(await measureSoak(fileOf, folder, generator, soakMinutes))}\n`)
} finally {
  generator.stop()
  for (const server of servers.values()) await server.stop()
  rmSync(folder, { recursive: true })
}

async function compare (): Promise<void> {
  const signatures = await measureSignatures(fileOf('signatures'), isQuick ? QUICK_SIGNATURES : SIGNATURES)
  for (const name of SERVERS) servers.set(name, await startServer(name, fileOf, folder, env))
  const tally = newTally()
  const rounds = new Map<number, Round[]>()
  for (const plan of isQuick ? QUICK : FULL) rounds.set(plan.connections, await measureRounds(servers, generator, plan, tally))

  await servers.get('presignd')?.stop()
  await checkRows(env['DATABASE_URL'] as string, tally.answers.presignd, tally.samples.presignd)
  await servers.get('jwt')?.stop()
  await servers.get('tutorial')?.stop()
  const rest = isQuick ? NOTHING_ELSE : await measureRest()
  const report = renderReport({ signatures, rounds, ...rest, growthRows, startedAt, loadBefore, rows: tally.answers.presignd, checkedUrls: tally.checkedUrls })
  process.stdout.write(report)
  if (!isQuick) writeFileSync(new URL('results.md', import.meta.url), `# Results of \`npm run bench\`\n\n${report}`)
  const create = rounds.get(50) as Round[]
  for (const missed of findMissed(create, signatures, rest)) {
    process.stderr.write(`${missed}\n`)
    process.exitCode = 1
  }
  if (isQuick) process.stdout.write(`\n${renderSummary(create, signatures)}\n`)
}

/** Each on servers of its own: idle ones take nothing, but their memory is nobody's. */
async function measureRest () {
  return {
    growth: await measureGrowth(fileOf, folder, growthRows, generator, GROWTH),
    calm: await measureCalm(fileOf, folder, generator, CALM_ROUNDS),
    turns: await measureTurns(fileOf, folder),
    garbage: await measureGarbage(fileOf, folder, generator),
    starts: await measureStarts(fileOf, folder, STARTS),
    memory: await measureMemory(fileOf, folder, generator),
    postgres: await measurePostgres(fileOf, folder, generator),
    rivals: await measureRivals(fileOf, folder, generator, RIVALS),
    operations: await measureOperations(fileOf, folder, generator, OPERATIONS),
    complete: await measureComplete(fileOf, folder, generator, COMPLETE_ROUNDS)
  }
}
