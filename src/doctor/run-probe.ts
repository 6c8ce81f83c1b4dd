import { describeError } from './describe-error.js'
import { fail, type Finding, type Probe } from './finding.js'

/** Runs a probe; one that cannot ask says so, and does not keep the others from asking. */
export async function runProbe<Subject> ({ id, run }: Probe<Subject>, subject: Subject): Promise<readonly Finding[]> {
  try {
    return await run(subject)
  } catch (error) {
    return [fail(id, `could not be measured (${describeError(error)})`, 'run presignd doctor again; if it stays, allow the key of the service what docs/doctor.md lists')]
  }
}
