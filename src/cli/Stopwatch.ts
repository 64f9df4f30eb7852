/**
 * Measures elapsed time, by the monotonic time of the Clock.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** Milliseconds since the start. */
export type Stopwatch = () => number

/** Starts a stopwatch. */
export const start: Effect.Effect<Stopwatch> = Effect.map(Clock.Clock, (clock) => {
  const started = clock.monotonicTimeNanosUnsafe()
  return () => Number(clock.monotonicTimeNanosUnsafe() - started) / 1e6
})

/** A time for people: `0.42 ms`, `12 ms`, `3.4 s`, `2 min 5 s`. */
export const text = (millis: number): string => {
  if (millis < 10) return `${millis.toFixed(2)} ms`
  if (millis < 1000) return `${Math.round(millis)} ms`
  if (millis < 60_000) return `${(millis / 1000).toFixed(1)} s`
  const seconds = Math.round(millis / 1000)
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}

const units = ["B", "KiB", "MiB", "GiB", "TiB"]

/** A number of bytes for people: `98 B`, `1.4 MiB`. */
export const bytes = (count: number): string => {
  let value = count
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}
