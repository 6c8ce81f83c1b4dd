/** Runs the tasks of one name one after the other, in the order of the calls; other names do not wait. */
export class Lock {
  readonly #tails = new Map<string, Promise<unknown>>()

  async run<Result> (name: string, task: () => Promise<Result>): Promise<Result> {
    const before = this.#tails.get(name) ?? Promise.resolve()
    const run = before.then(task)
    // A failed task must not fail the one behind it.
    const tail = run.catch(() => undefined)
    this.#tails.set(name, tail)
    try {
      return await run
    } finally {
      if (this.#tails.get(name) === tail) this.#tails.delete(name)
    }
  }
}
