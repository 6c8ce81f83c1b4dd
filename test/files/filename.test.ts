import t from 'tap'
import { cleanFilename } from '../../src/files/filename.js'

t.test('T18: the name that is kept is the last segment of a path, without what hides or breaks it', async t => {
  const names: Readonly<Record<string, string>> = {
    'holiday in 2026 (1).png': 'holiday in 2026 (1).png',
    höhe: 'höhe',
    'a/b.png': 'b.png',
    'C:\\pictures\\b.png': 'b.png',
    '../../etc/passwd': 'passwd',
    'folder/': 'file',
    'a\u0000b\r\nX: y.png': 'abX: y.png',
    '\u202egnp.exe': 'gnp.exe',
    'half\ud800.png': 'half.png',
    ' b.png ': 'b.png',
    '..': 'file',
    '': 'file'
  }
  for (const [name, kept] of Object.entries(names)) t.equal(cleanFilename(name), kept, JSON.stringify(name))
})

t.test('a name has at most 255 bytes, keeps its extension and is never cut inside a character', async t => {
  t.equal(cleanFilename(`${'x'.repeat(300)}.png`), `${'x'.repeat(251)}.png`)
  t.equal(cleanFilename(`${'x'.repeat(198)}.png`), `${'x'.repeat(198)}.png`)
  t.equal(cleanFilename(`${'😀'.repeat(300)}.png`), `${'😀'.repeat(62)}.png`)
})
