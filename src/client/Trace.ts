/** The trace context of a query that has none of its own: pure. */
import * as Context from "effect/Context"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"

/** The nearest span that is propagated, as Effect's `HttpClient` has it. */
const propagated = (span: Tracer.AnySpan | undefined): Tracer.AnySpan | undefined => {
  if (span === undefined || !Context.get(span.annotations, Tracer.DisablePropagation)) return span
  return span._tag === "Span" ? propagated(Option.getOrUndefined(span.parent)) : undefined
}

/** The current span of a fiber's context as a W3C `traceparent`; `undefined` if it has none. */
export const parent = (context: Context.Context<never>): string | undefined => {
  const current = Context.getOrUndefined(context, Tracer.ParentSpan)
  if (current === undefined) return undefined
  if (!Context.get(context, References.TracerEnabled) || Context.get(context, Tracer.DisablePropagation)) {
    return undefined
  }
  const span = propagated(current)
  if (span === undefined) return undefined
  // Traces of B3 may have half as many digits.
  return `00-${span.traceId.padStart(32, "0")}-${span.spanId}-${span.sampled ? "01" : "00"}`
}
