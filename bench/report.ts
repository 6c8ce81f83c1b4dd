import { execFileSync } from 'node:child_process'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { PER_SECOND, type CalmRound } from './measure-calm.js'
import type { Turns } from './measure-turns.js'
import { GROWING, labelOf, SMALL_ROWS } from './measure-growth.js'
import type { Memory } from './measure-memory.js'
import { CREATE_ON_POSTGRES, JWT, OPEN, type OperationRounds } from './measure-operations.js'
import { besideOf, RIVALS } from './measure-rivals.js'
import { REJECTIONS } from './measure-rejections.js'
import type { Soak } from './measure-soak.js'
import type { Start, StartRound } from './measure-start.js'
import type { TargetRound } from './measure-targets.js'
import type { SignatureRound, SignatureSide } from './measure-signatures.js'
import type { Measure, Round } from './measure.js'
import { CREATES, OPERATIONS, type Operation } from './operations.js'
import { CAN_PIN } from './processes.js'
import { SERVERS, type ServerName } from './servers.js'
import { cheaperThan, signerRatio } from './ratios.js'
import { renderSpread, spread } from './statistics.js'

export interface Results {
  readonly signatures: readonly SignatureRound[]
  /** By number of connections. */
  readonly rounds: ReadonlyMap<number, readonly Round[]>
  readonly operations: OperationRounds
  readonly rivals: readonly TargetRound[]
  readonly complete: readonly Measure[]
  readonly growth: readonly TargetRound[]
  /** Of the larger database of the two that growth is measured on. */
  readonly growthRows: number
  readonly starts: readonly StartRound[]
  /** Null where it was not measured. */
  readonly memory: Readonly<Record<'presignd' | 'jwt', Memory>> | null
  readonly calm: readonly CalmRound[]
  readonly turns: readonly Turns[]
  /** KiB of each request; null where it was not measured. */
  readonly garbage: Readonly<Record<'presignd' | 'jwt', number>> | null
  /** Processor time in PostgreSQL for each row, in microseconds. */
  readonly postgres: readonly number[]
  readonly startedAt: Date
  readonly loadBefore: number
  readonly rows: number
  readonly checkedUrls: number
}

const LABELS: Readonly<Record<ServerName, string>> = {
  presignd: 'presignd, `POST /uploads`',
  jwt: 'bare Fastify + @fastify/jwt, constant reply',
  tutorial: 'tutorial service (`getSignedUrl`, no database)'
}

/** Above this, requests per second say more about the machine's other work than about the servers. */
const NOISY_SPREAD = 2

const percent = (value: number): string => `${(value * 100).toFixed(value < 0.1 ? 1 : 0)} %`
const times = (value: number): string => `${value.toFixed(1)}x`
const tenth = (value: number): string => value.toFixed(1)
const hundredth = (value: number): string => value.toFixed(2)
const whole = (value: number): string => value.toFixed(0)

export function renderSummary (rounds: readonly Round[], signatures: readonly SignatureRound[]): string {
  return `create vs fastify+jwt: ${percent(cheaperThan('jwt', rounds).median)}, signer vs getSignedUrl: ${whole(signerRatio('put', signatures).median)} x`
}

export function renderSoak ({ requests, quarterMiB, endMiB, kibPerThousandRequests }: Soak): string {
  return `${requests} requests: ${whole(quarterMiB)} MiB resident after a quarter, ${whole(endMiB)} MiB at the end, ${tenth(kibPerThousandRequests)} KiB more per thousand requests in between`
}

const SIGNATURE_LABELS: ReadonlyArray<readonly [kind: keyof SignatureRound['us'], ours: string, sdk: string]> = [
  ['put', 'PUT', '`getSignedUrl`'],
  ['part', 'part, 100 in a call', '`getSignedUrl`'],
  ['form', 'form (POST policy)', '`createPresignedPost`']
]

function renderSignatures (rounds: readonly SignatureRound[]): string[] {
  return [
    `| one signature, ${rounds.length} rounds in one process | CPU µs, presignd | CPU µs, AWS SDK | times cheaper | CPU µs, by hand | times cheaper |`,
    '|---|---|---|---|---|---|',
    ...SIGNATURE_LABELS.map(([kind, ours, sdk]) => {
      const side = (name: SignatureSide): string => renderSpread(spread(rounds.map(({ us }) => us[kind][name])), tenth)
      return `| ${ours}; ${sdk} | ${side('port')} | ${side('sdk')} | ${renderSpread(signerRatio(kind, rounds), times)} | ${side('hand')} | ${renderSpread(signerRatio(kind, rounds, 'hand'), times)} |`
    })
  ]
}

function renderOperations (rounds: readonly TargetRound[], complete: readonly Measure[]): string[] {
  if (rounds.length === 0) return []
  return [
    `| 50 connections, ${rounds.length} rounds | CPU µs per request | CPU µs per file or URL | of the capacity of bare Fastify + @fastify/jwt |`,
    '|---|---|---|---|',
    ...OPERATIONS.map(({ label, items }) => [
      `| ${label}`,
      cpuOf(label, rounds),
      items === 1 ? '' : renderSpread(spread(rounds.map(round => cpu(label, round) / items)), tenth),
      `${renderSpread(spread(rounds.map(round => cpu(JWT, round) / cpu(label, round))), percent)} |`
    ].join(' | ')),
    `| bare Fastify, constant reply, no token | ${cpuOf(OPEN, rounds)} | | ${renderSpread(spread(rounds.map(round => cpu(JWT, round) / cpu(OPEN, round))), percent)} |`,
    `| \`POST /uploads/{id}/complete\`, which asks the store | ${renderSpread(spread(complete.map(({ cpuUsPerRequest }) => cpuUsPerRequest)), whole)} | | |`,
    ''
  ]
}

function renderBatches (rounds: readonly TargetRound[]): string[] {
  if (rounds.length === 0) return []
  const perFile = ({ label, items }: Operation, round: TargetRound): number => cpu(label, round) / items
  const [single] = CREATES
  return [
    `| one caller, one connection, ${rounds.length} rounds | CPU µs per file | of a call for it alone |`,
    '|---|---|---|',
    ...CREATES.map(operation => `| ${operation.label} | ${renderSpread(spread(rounds.map(round => perFile(operation, round))), whole)} | ${renderSpread(spread(rounds.map(round => perFile(operation, round) / perFile(single, round))), percent)} |`),
    `| ${single.label} on PostgreSQL | ${cpuOf(CREATE_ON_POSTGRES, rounds)} | ${renderSpread(spread(rounds.map(round => cpu(CREATE_ON_POSTGRES, round) / cpu(single.label, round))), percent)} |`,
    ''
  ]
}

function renderRivals (rounds: readonly TargetRound[]): string[] {
  if (rounds.length === 0) return []
  return [
    `| 50 connections, ${rounds.length} rounds | CPU µs per request | of presignd right before | times cheaper | goal |`,
    '|---|---|---|---|---|',
    ...RIVALS.map(({ label, against, goal }) => `| ${label} | ${cpuOf(label, rounds)} | ${against}: ${cpuOf(besideOf(label), rounds)} | ${renderSpread(spread(rounds.map(round => cpu(label, round) / cpu(besideOf(label), round))), times)} | ${goal === null ? '' : `${goal}x`} |`),
    ''
  ]
}

function renderGrowth (rounds: readonly TargetRound[], rows: number): string[] {
  if (rounds.length === 0) return []
  const [small, large] = [SMALL_ROWS, rows]
  return [
    `| 50 connections, ${rounds.length} rounds | CPU µs at ${small} rows | at ${large} rows | times as dear |`,
    '|---|---|---|---|',
    ...GROWING.map(({ label }) => `| ${label} | ${cpuOf(labelOf(label, small), rounds)} | ${cpuOf(labelOf(label, large), rounds)} | ${renderSpread(spread(rounds.map(round => cpu(labelOf(label, large), round) / cpu(labelOf(label, small), round))), hundredth)} |`),
    ''
  ]
}

function renderStarts (rounds: readonly StartRound[]): string[] {
  if (rounds.length === 0) return []
  const row = (label: string, name: keyof StartRound): string => {
    const cell = (key: keyof Start): string => renderSpread(spread(rounds.map(round => round[name][key])), whole)
    return `| ${label} | ${cell('readyCpuMs')} | ${renderSpread(spread(rounds.map(round => round[name].readyCpuMs / round.jwt.readyCpuMs)), times)} | ${cell('cpuMs')} |`
  }
  return [
    `| ${rounds.length} starts, by turns | CPU ms to the first 200 | of bare Fastify's | to the first request of the bench |`,
    '|---|---|---|---|',
    row('presignd, its first 200 that of `/readyz`, its first request a created upload', 'presignd'),
    row('bare Fastify + @fastify/jwt, from node_modules', 'jwt'),
    ''
  ]
}

function renderMemory (memory: Results['memory']): string[] {
  if (!memory) return []
  const row = (name: keyof typeof memory): string => `| ${LABELS[name]} | ${whole(memory[name].idle)} | ${whole(memory[name].loaded)} | ${whole(memory[name].after)} |`
  return [
    '| resident MiB | idle | at full load | idle, after 200,000 requests |',
    '|---|---|---|---|',
    row('presignd'),
    row('jwt'),
    ''
  ]
}

function renderRejections (rounds: readonly TargetRound[]): string[] {
  const [accepted] = CREATES
  if (rounds.length === 0) return []
  return [
    `| \`POST /uploads\` that is refused, 50 connections, ${rounds.length} rounds | status | CPU µs per request | of one that is accepted |`,
    '|---|---|---|---|',
    ...REJECTIONS.map(({ label, status }) => `| ${label} | ${status} | ${cpuOf(label, rounds)} | ${renderSpread(spread(rounds.map(round => cpu(label, round) / cpu(accepted.label, round))), percent)} |`),
    ''
  ]
}

function renderTurns (turns: readonly Turns[]): string[] {
  if (turns.length === 0) return []
  return [
    '| longest turn of the event loop, ms, one request at a time | the first after the start | those after it |',
    '|---|---|---|',
    ...turns.map(({ label, first, later }) => `| ${label} | ${tenth(first)} | ${renderSpread(spread(later), tenth)} |`),
    ''
  ]
}

function renderCalm (rounds: readonly CalmRound[]): string[] {
  if (rounds.length === 0) return []
  return [
    `| ${PER_SECOND} requests a second, ${rounds.length} rounds | p99, ms | of bare Fastify's |`,
    '|---|---|---|',
    ...SERVERS.map(name => `| ${LABELS[name]} | ${renderSpread(spread(rounds.map(round => round[name])), tenth)} | ${renderSpread(spread(rounds.map(round => round[name] / round.jwt)), times)} |`),
    `| the disk alone: to write and sync the pages of one row | ${renderSpread(spread(rounds.map(round => round.disk)), tenth)} | |`,
    ''
  ]
}

const cpu = (label: string, round: TargetRound): number => (round.get(label) as Measure).cpuUsPerRequest
const cpuOf = (label: string, rounds: readonly TargetRound[]): string => renderSpread(spread(rounds.map(round => cpu(label, round))), whole)

export function renderReport ({ signatures, rounds, operations, rivals, complete, growth, growthRows, starts, memory, calm, turns, garbage, postgres, startedAt, loadBefore, rows, checkedUrls }: Results): string {
  const cells = [...rounds].map(([connections, rounds]) => ({ connections, rounds, heading: connections === 1 ? '1 connection' : `${connections} connections` }))
  const lines = [
    '| presignd, in processor time per request | ' + cells.map(({ heading }) => heading).join(' | ') + ' |',
    '|---|' + cells.map(() => '---|').join(''),
    '| of the capacity of bare Fastify + @fastify/jwt | ' + cells.map(({ rounds }) => renderSpread(cheaperThan('jwt', rounds), percent)).join(' | ') + ' |',
    '| times cheaper than the tutorial service (below 1: dearer) | ' + cells.map(({ rounds }) => renderSpread(cheaperThan('tutorial', rounds), times)).join(' | ') + ' |'
  ]
  for (const { heading, rounds } of cells) {
    lines.push('', `| ${heading}, ${rounds.length} rounds | CPU µs per request | requests per second | p99, ms | of bare Fastify's |`, '|---|---|---|---|---|')
    for (const name of SERVERS) {
      const cpu = spread(rounds.map(round => round[name].cpuUsPerRequest))
      const rate = spread(rounds.map(round => round[name].requestsPerSecond))
      const [late, lateRatio] = [spread(rounds.map(round => round[name].p99)), spread(rounds.map(round => round[name].p99 / round.jwt.p99))]
      lines.push(`| ${LABELS[name]} | ${renderSpread(cpu, whole)} | ${renderSpread(rate, whole)} | ${renderSpread(late, tenth)} | ${renderSpread(lateRatio, times)} |`)
    }
  }
  lines.push('', ...renderRivals(rivals), ...renderOperations(operations.all, complete), ...renderBatches(operations.oneCaller), ...renderRejections(operations.all), ...renderGrowth(growth, growthRows), ...renderCalm(calm), ...renderTurns(turns), ...renderStarts(starts), ...renderMemory(memory), ...renderSignatures(signatures))
  if (garbage) lines.push('', `Garbage of a request: ${whole(garbage.presignd)} KiB of presignd, ${whole(garbage.jwt)} KiB of the bare server.`)
  if (postgres.length > 0) lines.push('', `PostgreSQL itself takes ${renderSpread(spread(postgres), whole)} µs of processor time for each row of 50 connections.`)
  const rates = spread((cells[0]?.rounds ?? []).map(round => round.jwt.requestsPerSecond))
  if (rates.max / rates.min > NOISY_SPREAD) lines.push('', '**Noisy machine: trust CPU ratios only.**')
  lines.push('', 'Each figure: median of the rounds (minimum–maximum). Ratios are taken within a round.', '', ...facts(startedAt, loadBefore))
  lines.push(`- Checked: every reply was 2xx; ${rows} replies of 201 and exactly as many rows; ${checkedUrls} URLs recomputed independently.`)
  return lines.join('\n') + '\n'
}

function facts (startedAt: Date, loadBefore: number): string[] {
  return [
    `- ${startedAt.toISOString().slice(0, 10)}, commit ${commit()}, Node ${process.versions.node}, ${process.platform} ${process.arch}`,
    `- ${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), load average ${loadBefore.toFixed(1)} before and ${(loadavg()[0] ?? 0).toFixed(1)} after`,
    CAN_PIN ? '- Server pinned to core 1, load generator to core 0' : '- Not pinned: taskset or a second core is missing'
  ]
}

/** Says when the service that ran is not the one of the commit. */
function commit (): string {
  try {
    const git = (...args: string[]): string => execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--', 'src') === '' ? '' : ' with changes')
  } catch {
    return 'unknown'
  }
}
