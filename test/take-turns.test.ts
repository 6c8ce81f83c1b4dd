import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { takeTurns } from '../src/take-turns.js'

/** Holds the event loop, as work does. */
function work (milliseconds: number): void {
  for (const began = performance.now(); performance.now() - began < milliseconds;);
}

/** Counts turns of the event loop until `isOver`. */
async function countTurns (counter: { turn: number }, isOver: () => boolean): Promise<void> {
  for (; !isOver(); counter.turn++) await nextTurn()
}

t.test('a long loop lets others go first every few milliseconds', async t => {
  const counter = { turn: 0 }
  let steps = 0
  const counting = countTurns(counter, () => steps === 40)
  const wait = takeTurns()
  for (; steps < 40; steps++) {
    await wait()
    work(1)
  }
  await counting
  t.ok(counter.turn >= 9, `40 ms are ten turns, counted: ${counter.turn}`)
})

t.test('a short loop waits for nobody', async t => {
  // A busy machine would make it a long one.
  t.intercept(performance, 'now', { value: () => 0 })
  let isOver = false
  setImmediate(() => { isOver = true })
  const wait = takeTurns()
  for (let step = 0; step < 10; step++) await wait()
  t.equal(isOver, false)
})

t.test('many long loops at once do not make a long turn together, and each gets its turn', async t => {
  const counter = { turn: 0 }
  const seen: Array<{ readonly loop: string, readonly turn: number }> = []
  let running = 3
  const counting = countTurns(counter, () => running === 0)
  await Promise.all(['a', 'b', 'c'].map(async loop => {
    const wait = takeTurns()
    for (let step = 0; step < 3; step++) {
      work(4)
      await wait()
      seen.push({ loop, turn: counter.turn })
    }
    running--
  }))
  await counting
  t.strictSame(seen.map(({ loop }) => loop).join(''), 'abcabcabc')
  t.equal(new Set(seen.map(({ turn }) => turn)).size, 9, 'one in each turn')
})
