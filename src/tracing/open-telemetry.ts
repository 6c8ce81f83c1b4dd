import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { defaultTextMapGetter, defaultTextMapSetter, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, type Context, type Span } from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import { BasicTracerProvider, BatchSpanProcessor, type SpanExporter } from '@opentelemetry/sdk-trace-base'
import type { SpanAttributes, Tracing } from './tracing.js'

export interface OpenTelemetryOptions {
  readonly protocol: 'http/protobuf' | 'http/json'
  readonly version: string
  /** `sqlite` or `postgresql`: https://opentelemetry.io/docs/specs/semconv/database/ */
  readonly databaseSystem: string
  /** Hears once of a collector that takes nothing, until it does again. */
  readonly onOutage: (error: Error | undefined) => void
}

const SERVICE_NAME = 'presignd'
const CLOSE_TIMEOUT_MS = 3_000

/**
 * Spans by the SDK of OpenTelemetry, which reads all else from its own variables: where to send, what to sample, what
 * to call the service. Nothing of Node or of a library is patched, and nothing is registered globally.
 * @see https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 */
export function createOpenTelemetry ({ protocol, version, databaseSystem, onOutage }: OpenTelemetryOptions): Tracing {
  const exporter = protocol === 'http/json' ? new JsonExporter() : new ProtobufExporter()
  const provider = new BasicTracerProvider({
    resource: defaultResource().merge(resourceFromAttributes({ 'service.name': SERVICE_NAME, 'service.version': version })).merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor(tellOutages(exporter, onOutage))]
  })
  const tracer = provider.getTracer(SERVICE_NAME, version)
  const propagator = new W3CTraceContextPropagator()
  const around = new AsyncLocalStorage<Context>()

  async function runIn<T> (span: Span, context: Context, call: () => Promise<T>): Promise<T> {
    try {
      return await around.run(context, call)
    } catch (error) {
      fail(span, error)
      throw error
    } finally {
      span.end()
    }
  }

  return {
    startRequest (method, headers) {
      const parent = propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter)
      const span = tracer.startSpan(method, { kind: SpanKind.SERVER, attributes: { 'http.request.method': method } }, parent)
      const context = trace.setSpan(parent, span)
      return {
        traceId: span.spanContext().traceId,
        run: work => around.run(context, work),
        end (route, status, problemCode) {
          span.updateName(`${method} ${route}`)
          span.setAttributes({ 'http.route': route, 'http.response.status_code': status, ...(problemCode !== null && { 'error.type': problemCode }) })
          if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
          span.end()
        }
      }
    },

    async traceCall (name, attributes, call) {
      const parent = around.getStore()
      if (!parent) return await call()
      const span = startClientSpan(name, attributes, parent)
      return await runIn(span, trace.setSpan(parent, span), call)
    },

    async traceDelivery (name, attributes, call) {
      const parent = around.getStore() ?? ROOT_CONTEXT
      const span = startClientSpan(name, attributes, parent)
      const context = trace.setSpan(parent, span)
      const headers: Record<string, string> = {}
      propagator.inject(context, headers, defaultTextMapSetter)
      return await runIn(span, context, async () => await call(headers))
    },

    queryEnded (sql, milliseconds, error) {
      const parent = around.getStore()
      if (!parent) return
      const { operation, summary, table } = describeQuery(sql)
      const end = performance.timeOrigin + performance.now()
      const span = tracer.startSpan(summary, {
        kind: SpanKind.CLIENT,
        startTime: end - milliseconds,
        attributes: { 'db.system.name': databaseSystem, 'db.operation.name': operation, 'db.query.summary': summary, ...(table !== undefined && { 'db.collection.name': table }) }
      }, parent)
      if (error !== undefined) fail(span, error)
      span.end(end)
    },

    async close () {
      await Promise.race([provider.shutdown().catch(() => {}), delay(CLOSE_TIMEOUT_MS, undefined, { ref: false })])
    }
  }

  function startClientSpan (name: string, attributes: SpanAttributes, parent: Context): Span {
    return tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes }, parent)
  }
}

/** The name of the error alone: its message may quote what a client or a store wrote. */
function fail (span: Span, error: unknown): void {
  span.setStatus({ code: SpanStatusCode.ERROR })
  span.setAttribute('error.type', error instanceof Error ? error.name : typeof error)
}

/** What a query does to which table, of its text without values. One that begins with others does what its first line without an indent says. */
function describeQuery (sql: string): { readonly operation: string, readonly table?: string, readonly summary: string } {
  const text = sql.startsWith('with ') ? sql.slice(Math.max(0, sql.search(/^(?:insert|update|delete|select) /m))) : sql
  const operation = /^\s*(\w+)/.exec(text)?.[1]?.toLowerCase() ?? 'query'
  const table = /\b(?:from|into|update)\s+"?(\w+)"?/i.exec(text)?.[1]
  return table === undefined ? { operation, summary: operation } : { operation, table, summary: `${operation} ${table}` }
}

/** To the SDK, every batch is sent: what a collector does not take is lost, and told once. */
function tellOutages (exporter: SpanExporter, onOutage: OpenTelemetryOptions['onOutage']): SpanExporter {
  let isOut = false
  return {
    export (spans, done) {
      exporter.export(spans, result => {
        const wasOut = isOut
        isOut = result.error !== undefined || result.code !== SUCCESS
        if (isOut !== wasOut) onOutage(isOut ? result.error ?? new Error('the collector refused') : undefined)
        done({ code: SUCCESS })
      })
    },
    shutdown: async () => await exporter.shutdown()
  }
}

/** `ExportResultCode.SUCCESS` of the SDK. */
const SUCCESS = 0
