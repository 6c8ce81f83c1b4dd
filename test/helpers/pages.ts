import { parse } from 'yaml'
import { Environment } from '../../src/environment.js'
import { ApiError, errors, remedies, type ErrorCode } from '../../src/errors.js'
import { toProblem } from '../../src/problem-schemas.js'

interface Operation {
  readonly operationId: string
  readonly responses: Record<string, { readonly description: string }>
}
interface Variable {
  readonly description: string
  readonly type?: string
  readonly default?: string | number | boolean
  readonly minimum?: number
  readonly maximum?: number
  readonly enum?: readonly string[]
}

const NOTE = '<!-- Made by "npm run openapi": change the source, not this page. -->'

/** docs/errors.md: every code, and the operations that the description lists it for. */
export function renderErrorsPage (openapi: string): string {
  const { paths } = parse(openapi) as { paths: Record<string, Record<string, Operation>> }
  const operations = Object.entries(paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, { responses }]) => ({
    name: `\`${method.toUpperCase()} ${path}\``,
    codes: new Set(Object.values(responses).flatMap(({ description }) => [...description.matchAll(/\b([A-Z_]+): /g)].map(([, code]) => code)))
  })))
  const answeredBy = (code: ErrorCode) => {
    const names = operations.filter(({ codes }) => codes.has(code)).map(({ name }) => name)
    if (names.length === 0) return 'No operation in particular: any request may meet it'
    return names.length === operations.length ? 'Every operation' : names.join(', ')
  }
  const sections = (Object.keys(errors) as ErrorCode[]).map(code => `## ${code}

**${errors[code].status}** · ${errors[code].title}.

- What to do: ${remedies[code]}
- \`type\`: \`${toProblem(new ApiError(code, ''), '').type}\`
- Answered by: ${answeredBy(code)}.
`)
  return `# Errors

${NOTE}

Whatever is not a success is a problem of [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) with the content type \`application/problem+json\`. Tell errors apart by \`code\`: it is part of the API, as
its status is. \`type\` leads to this list on the service itself: \`GET /errors\`. \`detail\` is for people and may change; under \`requestId\` the request is in the log; \`retryAfterSeconds\` is there when waiting helps.

${sections.join('\n')}`
}

/** docs/configuration.md: every variable, in the order of the schema. */
export function renderConfigurationPage (): string {
  const required = new Set<string>(Environment.required)
  const rows = Object.entries(Environment.properties as unknown as Record<string, Variable>).map(([name, variable]) => {
    const cells = [`\`${name}\``, variable.description, renderDefault(variable, required.has(name)), renderRange(variable)]
    return `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`
  })
  return `# Configuration

${NOTE}

Everything is set by variables of the environment, which are read once, at start. Each may come from a file instead, as secrets of Docker and Kubernetes do: \`NAME_FILE\` gives the path of a file that
holds the value of \`NAME\`. Both at once are refused. An empty variable counts as unset. A value that is unsafe or out of its range stops the start, with one line that names the variable and the rule.

The credentials of the store are found by the AWS SDK, and traces are switched on by the variables of OpenTelemetry ([operations](operations.md#what-takes-how-long)): both have names of their own.

[.env.example](../.env.example) is a file to begin with; who may upload what stands in the [policies](policies.md).

| variable | meaning | default | range |
|---|---|---|---|
${rows.join('\n')}
`
}

function renderDefault (variable: Variable, isRequired: boolean): string {
  if (variable.default !== undefined) return `\`${variable.default}\``
  return isRequired ? '**required**' : 'unset'
}

function renderRange ({ type, minimum, maximum, enum: values }: Variable): string {
  if (values) return values.map(value => `\`${value}\``).join(', ')
  if (type === 'boolean') return '`true`, `false`'
  if (type !== 'integer') return 'text'
  return maximum === undefined ? `${minimum} or more` : `${minimum} to ${maximum}`
}
