// Draws docs/flow.txt: who talks, who says what to whom, and below a line, indented, what happens on the way.
// `->` asks, `<--` answers, `==>` and `<==` carry the bytes. An empty line makes room.

interface Message { readonly from: number, readonly to: number, readonly kind: 'call' | 'answer' | 'bytes', readonly text: string, readonly notes: string[], readonly y: number }

const COLUMN_WIDTH = 310
const FIRST_COLUMN = 120
const BOX = { width: 160, height: 36, top: 20 }
const ROW_HEIGHT = 38
const GAP_HEIGHT = 10
const MARGIN = 14
const KINDS = { '-': 'call', '--': 'answer', '==': 'bytes' } as const

const STYLE = `
    .paper { fill: #ffffff } .ink { fill: #1f2430 } .line { stroke: #9aa3b2; stroke-width: 1.5 } .soft { fill: #5b6475; font-size: 12.5px } .strong { font-weight: 600 }
    .box { fill: #f2f4f8; stroke: #c9d0dc } .call, .answer { stroke: #3457d5; stroke-width: 2 } .answer { stroke-dasharray: 5 4 } .bytes { stroke: #c2571a; stroke-width: 5 }
    .call-tip, .answer-tip { fill: #3457d5 } .bytes-tip { fill: #c2571a }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #161b22 } .ink { fill: #e6e9ef } .line { stroke: #566072 } .soft { fill: #a3adbd } .box { fill: #222a35; stroke: #465062 }
      .call, .answer { stroke: #8aa4ff } .bytes { stroke: #f0935a } .call-tip, .answer-tip { fill: #8aa4ff } .bytes-tip { fill: #f0935a }
    }`

/** @throws an Error that names the line that is none of the three kinds */
export function renderFlow (source: string): string {
  const [title = '', , names = '', , ...lines] = source.trimEnd().split('\n')
  const actors = names.split(' | ')
  const { messages, bottom } = parseMessages(lines, actors)
  const width = 2 * FIRST_COLUMN + (actors.length - 1) * COLUMN_WIDTH
  const height = bottom + MARGIN
  const boxes = actors.map((name, index) => `<rect class="box" x="${columnOf(index) - BOX.width / 2}" y="${BOX.top}" width="${BOX.width}" height="${BOX.height}" rx="8"/><text x="${columnOf(index)}" y="43">${escape(name)}</text>`)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="title" font-family="ui-sans-serif, system-ui, sans-serif" font-size="14">
  <!-- Made of docs/flow.txt by "npm run openapi": change the text, not this picture. -->
  <title id="title">${escape(title)}</title>
  <style>${STYLE}
  </style>
  <rect class="paper" width="${width}" height="${height}" rx="12"/>
  <g class="ink strong" text-anchor="middle">
    ${boxes.join('\n    ')}
  </g>
  <path class="line" d="${actors.map((_, index) => `M${columnOf(index)} ${BOX.top + BOX.height}V${bottom}`).join('')}"/>
${messages.map(renderMessage).join('\n')}
</svg>
`
}

function parseMessages (lines: readonly string[], actors: readonly string[]): { messages: Message[], bottom: number } {
  const messages: Message[] = []
  let y = BOX.top + BOX.height
  for (const line of lines) {
    const [, left = '', back, stroke = '', forth, right = '', text = ''] = /^(\S.*?) (<)?(==|--|-)(>)? (.+?): (.+)$/.exec(line) ?? []
    const ends = [actors.indexOf(left), actors.indexOf(right)] as const
    if (line === '') y += GAP_HEIGHT
    else if (line.startsWith('  ')) messages.at(-1)?.notes.push(line.trim())
    else if (!ends.includes(-1) && Boolean(back) !== Boolean(forth)) {
      y += ROW_HEIGHT
      const [from, to] = back ? [ends[1], ends[0]] : ends
      messages.push({ from, to, kind: KINDS[stroke as keyof typeof KINDS], text, notes: [], y })
    } else throw new Error(`This is nothing that somebody says to somebody: ${line}`)
  }
  return { messages, bottom: y + MARGIN }
}

function renderMessage ({ from, to, kind, text, notes, y }: Message): string {
  const left = Math.min(from, to)
  const forward = Math.sign(to - from)
  const [length, half] = kind === 'bytes' ? [18, 10] : [12, 6]
  const tip = columnOf(to)
  const label = `<text class="ink${kind === 'bytes' ? ' strong' : ''}" x="${columnOf(left) + MARGIN}" y="${y - half - 2}">${escape(text)}</text>`
  // Beside the label, right of who hears it or is passed by.
  const beside = notes.map((note, index) => `<text class="soft" x="${columnOf(left + 1) + MARGIN}" y="${y - half - 2 + index * 18}">${escape(note)}</text>`)
  return `  <path class="${kind}" d="M${columnOf(from)} ${y}H${tip - forward * (length - 2)}"/><path class="${kind}-tip" d="M${tip} ${y}l${-forward * length}-${half}v${2 * half}z"/>${label}${beside.join('')}`
}

function columnOf (index: number): number {
  return FIRST_COLUMN + index * COLUMN_WIDTH
}

function escape (text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
