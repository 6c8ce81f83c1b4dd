import t from 'tap'
import { TapReader } from './tap-reader.js'

const COUNTS: ReadonlyArray<[name: string, lines: string[], passed: number, failed: number, skipped: string[]]> = [
  ['an empty stream', [], 0, 0, []],
  ['two leaves', ['ok 1 - a', 'not ok 2 - b'], 1, 1, []],
  ['a subtest counts its leaves, not itself', ['    ok 1 - a', '    ok 2 - b', '    1..2', 'ok 1 - s'], 2, 0, []],
  ['a failed subtest with a failed leaf counts once', ['    ok 1 - a', '    not ok 2 - b', 'not ok 1 - s'], 1, 1, []],
  ['a subtest that failed by itself counts', ['    ok 1 - a', 'not ok 1 - s # time=9ms'], 1, 1, []],
  ['siblings do not share their leaves', ['    ok 1 - a', 'ok 1 - s', 'ok 2 - leaf'], 2, 0, []],
  ['a file without tests counts as skipped', ['ok 1 - a.test.ts # SKIP no tests found'], 0, 0, ['a.test.ts # SKIP no tests found']],
  ['todo', ['not ok 1 - later # TODO'], 0, 0, ['later # TODO']],
  ['left out by --grep', ['ok 1 - a # SKIP filter: /b/', 'ok 2 - b'], 1, 0, []],
  ['an escaped hash is part of the name', ['ok 1 - a \\# skip'], 1, 0, []],
  ['diagnostics are not read', ['not ok 1 - a', '  ---', '  not ok 2', '  ok 3', '  ...', 'ok 2 - b'], 1, 1, []]
]

for (const [name, lines, passed, failed, skipped] of COUNTS) {
  t.test(name, async t => {
    const tap = new TapReader()
    for (const line of lines) tap.read(line)
    t.same({ passed: tap.passed, failed: tap.failed, skipped: tap.skipped }, { passed, failed, skipped })
  })
}

t.test('a short log shows files, failures with their diagnostics, comments, and other output', async t => {
  const tap = new TapReader()
  const lines = [
    'TAP version 14', '# Subtest: a.test.ts', '    ok 1 - fine', '    not ok 2 - broken', '      ---', '      at: here',
    '      ...', '    # 7 kills', '    # time=1ms', '    1..2', 'not ok 1 - a.test.ts', '', 'ok 2 - b.test.ts', '1..2', 'a stray line'
  ]
  t.same(lines.filter(line => tap.read(line)), [
    '    not ok 2 - broken', '      ---', '      at: here', '      ...', '    # 7 kills', 'not ok 1 - a.test.ts', 'ok 2 - b.test.ts', 'a stray line'
  ])
})
