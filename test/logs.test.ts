import { execFileSync } from 'node:child_process'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { writeByTurns } from '../src/logs.js'

t.test('the lines of one turn of the event loop leave together, in their order', async t => {
  const writes: string[] = []
  const log = writeByTurns({ write: text => writes.push(text) })
  log.write('1\n')
  await Promise.resolve()
  log.write('2\n')
  t.strictSame(writes, [])
  await nextTurn()
  t.strictSame(writes, ['1\n2\n'])
  log.write('3\n')
  await nextTurn()
  await nextTurn()
  t.strictSame(writes, ['1\n2\n', '3\n'])
})

t.test('the lines of the last turn are written when the process ends, also by an error that nobody caught', async t => {
  const module = new URL('../src/logs.ts', import.meta.url).href
  const run = (end: string): string => execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', `
    import { writeSync } from 'node:fs'
    import { writeByTurns } from ${JSON.stringify(module)}
    writeByTurns({ write: text => writeSync(1, text) }).write('the last one\\n')
    process.on('exit', () => { process.exitCode = 0 })
    ${end}`], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  t.equal(run('process.exit()'), 'the last one\n')
  t.equal(run('throw new Error("nobody caught it")'), 'the last one\n')
})
