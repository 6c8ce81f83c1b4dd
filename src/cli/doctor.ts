import { parseArgs } from 'node:util'
import { ConfigError, loadConfig } from '../config.js'
import { runDoctor } from '../doctor/doctor.js'
import { FINDING_IDS, type Finding } from '../doctor/finding.js'
import { loadPolicies } from '../policies/load-policies.js'
import { explainStartError } from './explain-start-error.js'

type Env = Readonly<Record<string, string | undefined>>

const FIT = 0
const NOT_FIT = 1
const NOT_RUN = 2

const ID_WIDTH = Math.max(...FINDING_IDS.map(id => id.length))

/**
 * Prints a line for each finding as it comes and one with the counts, or with `--json` all findings as an array.
 * @param args `[--apply] [--json]`
 * @returns the exit code: 0 when the service can run here, 1 when something keeps it from that, 2 when nothing could be asked
 */
export async function diagnose (env: Env, args: readonly string[], signal: AbortSignal): Promise<number> {
  try {
    const { apply, json } = parse(args)
    const config = loadConfig(env)
    const policySet = loadPolicies(config.policiesFile, config)
    const findings: Finding[] = []
    for await (const finding of runDoctor(config, policySet, { apply, signal })) {
      findings.push(finding)
      if (!json) process.stdout.write(`${renderFinding(finding, policySet.buckets.size > 0)}\n`)
    }
    process.stdout.write(json ? `${JSON.stringify(findings, null, 2)}\n` : `\n${renderCounts(findings)}\n`)
    return findings.some(({ level }) => level === 'fail') ? NOT_FIT : FIT
  } catch (error) {
    for (const line of explainStartError(error)) process.stderr.write(`presignd: ${line}\n`)
    return NOT_RUN
  }
}

function renderFinding ({ id, level, message, fix, bucket }: Finding, hasBuckets: boolean): string {
  const place = hasBuckets && bucket !== undefined ? `${bucket}: ` : ''
  return `${level.padEnd('fail'.length)}  ${id.padEnd(ID_WIDTH)}  ${place}${message}${fix === undefined ? '' : ` -> ${fix}`}`
}

function renderCounts (findings: readonly Finding[]): string {
  const count = (level: Finding['level']): number => findings.filter(finding => finding.level === level).length
  return `${count('ok')} ok, ${count('warn')} to look at, ${count('fail')} to set right`
}

function parse (args: readonly string[]): { apply: boolean, json: boolean } {
  try {
    return parseArgs({ args: [...args], options: { apply: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } } }).values
  } catch (error) {
    throw new ConfigError([(error as Error).message])
  }
}
