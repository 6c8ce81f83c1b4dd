// A queue: so many at once, the others wait for their turn.

export class Slots {
  #free
  #waiting = []

  constructor (count) {
    this.#free = count
  }

  /** Runs the task when its turn comes. Rejects when the signal ends the waiting; a task that runs is not stopped. */
  async run (task, signal) {
    await this.#take(signal)
    try {
      return await task()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free += 1
    }
  }

  async #take (signal) {
    signal.throwIfAborted()
    if (this.#free > 0) {
      this.#free -= 1
      return
    }
    await new Promise((resolve, reject) => {
      const start = () => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(start), 1)
        reject(signal.reason)
      }
      this.#waiting.push(start)
      signal.addEventListener('abort', leave, { once: true })
    })
  }
}
