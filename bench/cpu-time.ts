import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'

/** Without /proc a server is asked over IPC instead; `cpu-probe.ts`, loaded into it, answers. */
export const NEEDS_PROBE = !existsSync('/proc/self/stat')

/** The unit of times in /proc/PID/stat: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html, USER_HZ. */
const TICK_US = 10_000

/** Processor time that this process has used so far, all threads, user and system, in microseconds. */
export async function readCpuTime (child: ChildProcess): Promise<number> {
  if (NEEDS_PROBE) {
    child.send('cpu')
    const [usage] = await once(child, 'message') as [NodeJS.CpuUsage]
    return usage.user + usage.system
  }
  return readCpuTimeOf(child.pid as number)
}

/** The same of any process, where there is /proc. */
export function readCpuTimeOf (pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The second field is the name in brackets and may hold spaces; utime and stime are the 14th and 15th.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_US
}
