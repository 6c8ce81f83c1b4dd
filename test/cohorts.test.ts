import fastify from 'fastify'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { createCohorts } from '../src/cohorts.js'
import { cohorts } from '../src/plugins/cohorts.js'

t.test('what waits in one turn of the event loop goes on together in the next one, in order', async t => {
  const wait = createCohorts()
  const seen: number[] = []
  for (const number of [1, 2, 3]) wait(() => seen.push(number))
  await Promise.resolve()
  t.strictSame(seen, [], 'not in this turn')
  await nextTurn()
  t.strictSame(seen, [1, 2, 3])
  wait(() => seen.push(4))
  await nextTurn()
  t.strictSame(seen, [1, 2, 3, 4], 'one alone waits for nobody')
})

t.test('however many wait, a turn of the event loop is for 16', async t => {
  const wait = createCohorts()
  const ran: number[] = []
  let turn = 0
  for (let count = 0; count < 40; count++) wait(() => ran.push(turn))
  for (; turn < 4; turn++) await nextTurn()
  t.strictSame([0, 1, 2, 3].map(number => ran.filter(turn => turn === number).length), [16, 16, 8, 0])
})

t.test('those that come while a cohort goes on are of the next one', async t => {
  const wait = createCohorts()
  const seen: string[] = []
  wait(() => {
    seen.push('first')
    wait(() => seen.push('later'))
  })
  wait(() => seen.push('second'))
  await nextTurn()
  t.strictSame(seen, ['first', 'second'])
  await nextTurn()
  t.strictSame(seen, ['first', 'second', 'later'])
})

t.test('requests of one turn take each step together', async t => {
  const steps: string[] = []
  const note = (step: string): void => { steps.push(step) }
  const app = fastify({
    genReqId () {
      note('arrive')
      return 'some id'
    }
  })
  await app.register(cohorts)
  app.addHook('onRequest', (_request, _reply, done) => {
    note('authenticate')
    done()
  })
  app.post('/', async () => {
    note('look up')
    await null
    note('sign')
    return {}
  })
  const replies = await Promise.all([1, 2, 3].map(async () => await app.inject({ method: 'POST', url: '/', payload: { some: 'body' } })))
  t.strictSame(replies.map(({ statusCode }) => statusCode), [200, 200, 200])
  t.strictSame(steps, ['arrive', 'authenticate', 'look up', 'sign'].flatMap(step => [step, step, step]))
})
