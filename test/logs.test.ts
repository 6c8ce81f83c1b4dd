import { execFileSync } from 'node:child_process'
import t from 'tap'
import { holdBack, writeTogether } from '../src/logs.js'

t.test('the lines of 25 milliseconds leave together, in their order', async t => {
  const due: Array<[flush: () => void, milliseconds: number]> = []
  t.intercept(globalThis, 'setTimeout', { value: (flush: () => void, milliseconds: number) => { due.push([flush, milliseconds]) } })
  const writes: string[] = []
  const log = writeTogether({ write: text => writes.push(text) })
  log.write('1\n')
  log.write('2\n')
  t.strictSame(writes, [])
  t.match(due, [[Function, 25]])
  due.pop()?.[0]()
  t.strictSame(writes, ['1\n2\n'])
  log.write('3\n')
  due.pop()?.[0]()
  t.strictSame(writes, ['1\n2\n', '3\n'])
  t.strictSame(due, [])
})

t.test('lines that are held back come in their order once they are released, and later ones at once', async t => {
  const writes: string[] = []
  const log = holdBack({ write: text => writes.push(text) })
  log.write('1\n')
  log.write('2\n')
  t.strictSame(writes, [])
  log.release()
  t.strictSame(writes, ['1\n', '2\n'])
  log.write('3\n')
  log.release()
  t.strictSame(writes, ['1\n', '2\n', '3\n'])
})

t.test('the lines of the last moment are written when the process ends, also by an error that nobody caught', async t => {
  const module = new URL('../src/logs.ts', import.meta.url).href
  const run = (end: string): string => execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', `
    import { writeSync } from 'node:fs'
    import { holdBack, writeTogether } from ${JSON.stringify(module)}
    writeTogether({ write: text => writeSync(1, text) }).write('the last one\\n')
    process.on('exit', () => { process.exitCode = 0 })
    ${end}`], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  t.equal(run('process.exit()'), 'the last one\n')
  t.equal(run('throw new Error("nobody caught it")'), 'the last one\n')
})
