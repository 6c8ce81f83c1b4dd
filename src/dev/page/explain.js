// With ?explain: every step of an upload as a line for a shell. The lines follow from each other's replies, so they can
// be pasted at any time, and make an upload of their own.
/* global atob, location */

import { at, clone } from './elements.js'
import { session } from './service.js'

const isWanted = new URLSearchParams(location.search).has('explain')

const AUTHORIZATION = '-H "authorization: Bearer $TOKEN"'
const JSON_TYPE = "-H 'content-type: application/json'"
/** What a reply in a variable of the shell says. */
const read = (path, variable) => `$(node -p 'JSON.parse(process.argv[1]).${path}' "$${variable}")`
const quote = text => `'${text.replaceAll("'", "'\\''")}'`
const headerOptions = headers => Object.entries(headers).map(([name, value]) => `-H ${quote(`${name}: ${value}`)} `).join('')

/** Shows the steps of a new upload as they happen; null where nobody wants to know. */
export function createExplanation ({ file, policy }) {
  if (!isWanted) return null
  at('explain').hidden = false
  const element = clone('explanation-template')
  element.querySelector('h3').textContent = file.name
  at('explanations').prepend(element)
  const shown = new Set()

  function show (title, ...lines) {
    if (shown.has(title)) return
    shown.add(title)
    const step = clone('step-template')
    step.querySelector('p').textContent = title
    step.querySelector('code').textContent = lines.join('\n')
    element.querySelector('ol').append(step)
  }

  return {
    begins () {
      show('Get a token, in the folder of presignd', tokenLine())
      show('Create the upload', ...createLines(file, policy))
    },
    isCreated (instructions) {
      if (instructions) show(`Send the bytes (${instructions.method})`, sendLine(instructions, file))
    },
    isSent () {
      show('Complete it', `curl -fsS -X POST ${AUTHORIZATION} "${location.origin}/uploads/$ID/complete"`)
    },
    isDone () {
      show('Download it', `curl -fsSL ${AUTHORIZATION} "${location.origin}/downloads/$ID" -o ${quote(`downloaded-${file.name}`)}`)
    }
  }
}

/** The next user has nothing to read here. */
export function clearExplanations () {
  at('explanations').replaceChildren()
  at('explain').hidden = true
}

function tokenLine () {
  const { sub, scope } = JSON.parse(atob(session.token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/')))
  return `TOKEN=$(npm run --silent token -- --sub ${quote(sub)}${scope ? ` --scope ${quote(scope)}` : ''})`
}

function createLines ({ name, type, size }, policy) {
  const body = { policy, filename: name, contentType: type || 'application/octet-stream', sizeBytes: size, method: 'auto' }
  return [
    `REPLY=$(curl -fsS ${location.origin}/uploads ${AUTHORIZATION} ${JSON_TYPE} -d ${quote(JSON.stringify(body))})`,
    `ID=${read('file.id', 'REPLY')}`
  ]
}

const senders = {
  PUT: ({ headers }, { name }) => `curl -fsS -T ${quote(name)} ${headerOptions(headers)}"${read('upload.url', 'REPLY')}"`,

  // The fields, in their order, as a configuration for curl.
  POST: (_, { name }) => [
    'node -p \'Object.entries(JSON.parse(process.argv[1]).upload.fields).map(field => "form-string = " + JSON.stringify(field.join("="))).join("\\n")\' "$REPLY"',
    `curl -fsS -K - -F ${quote(`file=@"${name.replace(/["\\]/g, '\\$&')}"`)} -o /dev/null "${read('upload.url', 'REPLY')}"`
  ].join(' | '),

  multipart: ({ partCount, partSizeBytes, parts }, { name }) => [
    `for n in $(seq ${partCount}); do PART=$(curl -fsS "${location.origin}/uploads/$ID/parts" ${AUTHORIZATION} ${JSON_TYPE} -d "{\\"partNumbers\\":[$n]}")`,
    `tail -c "+$(( (n - 1) * ${partSizeBytes} + 1 ))" ${quote(name)} | head -c ${partSizeBytes} | curl -fsS -X PUT -H 'content-type:' ${headerOptions(parts[0].headers)}--data-binary @- "${read('parts[0].url', 'PART')}"`,
    'done'
  ].join('; ')
}

function sendLine (instructions, file) {
  return senders[instructions.method](instructions, file)
}
