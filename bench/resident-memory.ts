import { execFileSync, type ChildProcess } from 'node:child_process'

/** As `ps` of every system tells it. */
export function readResidentMiB ({ pid }: ChildProcess): number {
  return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) / 1024
}
