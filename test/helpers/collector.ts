import type { Test } from 'tap'
import { startReceiver, type Receiver } from './receiver.js'
import { until } from './until.js'

interface Value { readonly stringValue?: string, readonly intValue?: number | string, readonly doubleValue?: number }
interface Attribute { readonly key: string, readonly value: Value }
interface WireSpan { readonly name: string, readonly kind: number, readonly traceId: string, readonly spanId: string, readonly parentSpanId?: string, readonly attributes: readonly Attribute[], readonly status: { readonly code?: number } }
interface Export { readonly resourceSpans: ReadonlyArray<{ readonly resource: { readonly attributes: readonly Attribute[] }, readonly scopeSpans: ReadonlyArray<{ readonly spans: readonly WireSpan[] }> }> }

export interface CollectedSpan extends Omit<WireSpan, 'attributes'> {
  readonly attributes: Readonly<Record<string, string | number | undefined>>
  readonly resource: Readonly<Record<string, string | number | undefined>>
}

/** A collector of traces that takes OTLP as JSON: https://opentelemetry.io/docs/specs/otlp/#otlphttp */
export interface Collector extends Receiver {
  /** What makes a service send its spans here at once. */
  readonly env: Readonly<Record<string, string>>
  spans (): CollectedSpan[]
  /** The first such span, once it is there. */
  span (condition: (span: CollectedSpan) => boolean): Promise<CollectedSpan>
}

export async function startCollector (t: Test): Promise<Collector> {
  const receiver = await startReceiver(t)
  const spans = (): CollectedSpan[] => receiver.received.flatMap(({ body }) => readSpans(JSON.parse(body) as Export))
  return {
    ...receiver,
    env: { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: receiver.url, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json', OTEL_BSP_SCHEDULE_DELAY: '10' },
    spans,
    async span (condition) {
      await until(() => spans().some(condition))
      return spans().find(condition) as CollectedSpan
    }
  }
}

function readSpans ({ resourceSpans }: Export): CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans.map(span => ({ ...span, attributes: readAttributes(span.attributes), resource: readAttributes(resource.attributes) }))))
}

function readAttributes (attributes: readonly Attribute[]): Record<string, string | number | undefined> {
  return Object.fromEntries(attributes.map(({ key, value: { stringValue, intValue, doubleValue } }) => [key, stringValue ?? (intValue === undefined ? doubleValue : Number(intValue))]))
}
