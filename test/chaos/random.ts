/** The same sequence for the same seed: mulberry32, good enough to choose with. */
export function createRandom (seed: number) {
  let state = seed >>> 0
  function next (): number {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    next,
    chance: (probability: number): boolean => next() < probability,
    integer: (below: number): number => Math.floor(next() * below),
    pick<T> (choices: readonly T[]): T { return choices[Math.floor(next() * choices.length)] as T },
    /** Another sequence of its own, the same for the same number. */
    fork: (number: number) => createRandom(Math.imul(seed ^ 0x9e3779b9, number + 1))
  }
}

export type Random = ReturnType<typeof createRandom>
