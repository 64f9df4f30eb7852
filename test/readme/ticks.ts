import { QueryEngine } from "dataconn"
import { Effect, Layer, Schedule, Stream } from "effect"

const encoder = new TextEncoder()

/** Answers every request with three lines, one a second. */
export const Ticks = Layer.succeed(QueryEngine.QueryEngine, {
  init: () =>
    Effect.succeed({
      payload: encoder.encode("ticking"),
      chunks: Stream.fromSchedule(Schedule.spaced("1 second")).pipe(
        Stream.take(3),
        Stream.map((n) => encoder.encode(`tick ${n}\n`))
      )
    })
})
