/**
 * The engine of the back-ends: does with each query what the scenario says, and records what became of it.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as QueryApi from "../../../src/engine/QueryApi.ts"
import type { QueryEngine } from "../../../src/engine/QueryEngine.ts"
import type { Run } from "../Run.ts"
import * as Scenario from "./Scenario.ts"

/** One start of a back-end, until it is killed or has stopped. */
export interface Process {
  readonly address: string
  readonly nth: number
  isDead: boolean
  /** How many things had happened when it was told to stop. */
  drainTick: number | undefined
}

/** A query in one engine. */
export interface Attempt {
  readonly query: number
  readonly process: Process
  /** How many bytes of the result it has given away. */
  produced: number
  /** Whether all of the result has been given away. */
  isWhole: boolean
  /** Whether its scope has closed, or its process has been killed. */
  isOver: boolean
}

export interface Options {
  readonly run: Run
  readonly requests: ReadonlyMap<number, Scenario.Request>
  /** A query has begun. */
  readonly began: (attempt: Attempt) => void
  /** A query of the roll call has begun; it ends when the effect does. */
  readonly called: Effect.Effect<void>
}

/** The query that holds its place until all are there. */
export const rollCall = "roll call"

const pause = (millis: number) => (millis === 0 ? Effect.void : Effect.sleep(millis))

const error = (code: "overloaded" | "shutting_down" | "not_found") =>
  QueryApi.queryError(code, `The engine says ${code}`, { retryable: code !== "not_found" })

const opened = ({ began, run }: Options, process: Process, query: Scenario.Query) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const attempt: Attempt = { query: query.id, process, produced: 0, isWhole: false, isOver: false }
      run.tell("engine", `query ${query.id} begins at ${process.address}`)
      began(attempt)
      return attempt
    }),
    (attempt) =>
      Effect.andThen(
        pause(query.finalizer),
        Effect.sync(() => {
          if (attempt.isOver) return
          attempt.isOver = true
          run.tell("engine", `query ${query.id} has ended after ${attempt.produced} bytes`)
        })
      )
  )

const result = (query: Scenario.Query, attempt: Attempt): Stream.Stream<Uint8Array> =>
  Stream.mapEffect(Stream.fromIterable(query.chunks), (chunk) =>
    Effect.map(pause(chunk.delay), () => {
      const from = attempt.produced
      attempt.produced += chunk.size
      return Uint8Array.from({ length: chunk.size }, (_, i) => Scenario.byteAt(query, from + i))
    })
  )

const ending = (query: Scenario.Query, attempt: Attempt): Stream.Stream<Uint8Array, QueryApi.QueryError> => {
  switch (query.ending) {
    case "complete":
      return Stream.suspend(() => {
        attempt.isWhole = !attempt.process.isDead
        return Stream.empty
      })
    case "fail":
      return Stream.fail(QueryApi.queryError("execution_failed", `Query ${query.id} fails`))
    case "defect":
      return Stream.die(new Error(`defect ${query.id}`))
    case "silent":
      return Stream.never
  }
}

const answer = (
  query: Scenario.Query,
  attempt: Attempt
): Effect.Effect<QueryApi.QueryResult, QueryApi.QueryError> => {
  switch (query.init) {
    case "accept":
      return Effect.succeed({ chunks: Stream.concat(result(query, attempt), ending(query, attempt)) })
    case "defect":
      return Effect.die(new Error(`defect ${query.id}`))
    case "silent":
      return Effect.never
    default:
      return Effect.fail(error(query.init))
  }
}

/** The engine of one process. */
export const make = (options: Options, process: Process): QueryEngine["Service"] =>
  QueryApi.makeEngine({
    formats: ["text/csv", "application/json"],
    run: ({ query: words }): Effect.Effect<QueryApi.QueryResult, QueryApi.QueryError, Scope.Scope> =>
      Effect.suspend(() => {
        // What a killed process does, nobody sees.
        if (process.isDead) return Effect.never
        if (words === "SELECT 1") return Effect.succeed({ chunks: Stream.empty })
        if (words === rollCall)
          return Effect.succeed({ chunks: Stream.drain(Stream.fromEffect(options.called)) })
        const id = Scenario.idOf(words)
        const request = id === undefined ? undefined : options.requests.get(id)
        if (request === undefined) {
          options.run.wrong("engine", `was asked for ${JSON.stringify(words)}`)
          return Effect.die(new Error("no such query"))
        }
        const { query } = request
        return Effect.flatMap(opened(options, process, query), (attempt) =>
          Effect.andThen(pause(query.initDelay), answer(query, attempt))
        )
      })
  })
