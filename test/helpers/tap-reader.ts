/**
 * Reads a TAP stream line by line and counts its single assertions. The line that sums up a subtest counts only when it
 * failed and nothing inside it did: a timeout, a broken plan, a file that crashed.
 *
 * @see https://testanything.org/tap-version-14-specification.html
 */
export class TapReader {
  passed = 0
  failed = 0
  /** Names of the skipped and todo tests; those left out by `--grep` or `--only` are not among them. */
  readonly skipped: string[] = []

  // Per depth: what the points seen so far, and not yet summed up, came to.
  readonly #open = new Map<number, { points: number, failed: number }>()
  #diagnosticsEnd: string | null = null
  #lastPointShown = false

  /** Takes in one line and says whether a short log should show it: results of whole files, failures, other output. */
  read (line: string): boolean {
    if (this.#diagnosticsEnd !== null) {
      if (line.trimEnd() === this.#diagnosticsEnd) this.#diagnosticsEnd = null
      return this.#lastPointShown
    }
    const diagnostics = /^( +)---$/.exec(line.trimEnd())
    if (diagnostics) {
      this.#diagnosticsEnd = `${diagnostics[1]}...`
      return this.#lastPointShown
    }
    const point = /^( *)(not )?ok \d+\b(.*)$/.exec(line)
    // What a test says with `t.comment` is a number worth reading.
    if (!point) return /^ +# (?!Subtest|time=|\{)/.test(line) || !/^\s|^$|^# Subtest|^# No coverage|^1\.\.\d|^TAP version/.test(line)
    const depth = (point[1] ?? '').length
    const failed = this.#count(depth, point[2] !== undefined, point[3] ?? '')
    this.#lastPointShown = failed
    return failed || depth === 0
  }

  /** Returns whether the point is a failure. */
  #count (depth: number, notOk: boolean, description: string): boolean {
    const directive = /(?<!\\)# (?:skip|todo)\b:?\s*(.*)$/i.exec(description)
    const failed = notOk && directive === null
    const inside = this.#open.get(depth + 4)
    this.#open.delete(depth + 4)
    const level = this.#open.get(depth) ?? { points: 0, failed: 0 }
    this.#open.set(depth, level)
    level.points += 1
    if (failed) level.failed += 1
    if (directive) {
      if (!directive[1]?.startsWith('filter')) this.skipped.push(description.replace(/^[ -]+/, '').trim())
    } else if (failed) {
      if (!inside?.failed) this.failed += 1
    } else if (!inside?.points) {
      this.passed += 1
    }
    return failed
  }
}
