import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import t from 'tap'
import { parsePolicies } from '../src/policies/load-policies.js'
import { renderFlow } from './helpers/flow.js'

const read = (path: string) => readFileSync(path, 'utf8')
const pages = ['README.md', ...readdirSync('docs').filter(name => name.endsWith('.md')).map(name => `docs/${name}`)]

t.test('every relative link leads to a file that is there', async t => {
  for (const page of pages) {
    for (const [, target = ''] of read(page).matchAll(/\]\(([^)\s#]+)[^)]*\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      t.ok(existsSync(posix.join(posix.dirname(page), target)), `${page}: ${target}`)
    }
  }
})

t.test('docs/flow.svg is made of docs/flow.txt, and the README says the same to those who do not see it', async t => {
  const text = read('docs/flow.txt')
  t.equal(read('docs/flow.svg'), renderFlow(text), 'run "npm run openapi"')
  t.match(read('README.md'), `![${text.split('\n')[0]}](docs/flow.svg)`)
  t.throws(() => renderFlow(`${text}\nnobody -> presignd: hello`), /nobody -> presignd/)
})

t.test('every example of docs/policies.md is a policies file that the service takes', async t => {
  const sections = read('docs/policies.md').split(/^## /m).slice(1)
  t.ok(sections.length > 0)
  for (const section of sections) {
    const [title = ''] = section.split('\n')
    const [, example] = /```yaml\n([\s\S]*?)```/.exec(section) ?? []
    t.ok(example, `${title} has an example`)
    t.doesNotThrow(() => parsePolicies(example ?? '', 'docs/policies.md', { uploadUrlTtlSeconds: 900, downloadUrlTtlSeconds: 900 }), title)
  }
})

t.test('docs/security.md has a row for each threat that tests are named after, with a test file that is', async t => {
  const files = (readdirSync('test', { recursive: true }) as string[]).filter(name => name.endsWith('.ts')).map(name => `test/${name}`)
  const threats = new Map(files.map(file => [file, threatsOf(read(file))]))
  const rows = [...read('docs/security.md').matchAll(/^\| (T\d+) \|.*\]\(\.\.\/([^)]+)\) \|$/gm)].map(([, id = '', file = '']) => ({ id, file }))
  for (const { id, file } of rows) t.ok(threats.get(file)?.has(id), `${file} has a test named after ${id}`)
  const tested = new Set([...threats.values()].flatMap(ids => [...ids]))
  t.strictSame(rows.map(({ id }) => id).sort(), [...tested].sort(), 'each once')
})

/** Test names begin with the ids that they are about, or end with them in brackets. */
function threatsOf (source: string): Set<string> {
  const labels = [...source.matchAll(/['"`]((?:[A-Z]\d+,? ?)+): |\((T\d+(?:, T\d+)*)\)['"`]/g)].map(([, before, after]) => before ?? after ?? '')
  return new Set(labels.flatMap(label => label.match(/\bT\d+\b/g) ?? []))
}
