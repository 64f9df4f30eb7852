import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { QueryEngine, QueryFailed } from "../../src/engine/QueryEngine.ts"
import * as MemoryProcess from "../support/MemoryProcess.ts"

const encoder = new TextEncoder()
const accept = encoder.encode('{"format":"text/csv","queryId":"1"}')
const request = encoder.encode("{}")

/** One process, whose queries give these chunks, and no more comes if `ends` is false; they commit as `commit` does. */
const world = Effect.fnUntraced(function* (
  chunks: ReadonlyArray<string>,
  commit: Effect.Effect<void, QueryFailed> = Effect.void,
  ends = true
) {
  const log: Array<string> = []
  const { engine, processes } = yield* MemoryProcess.make({
    changes: true,
    supervisor: { processes: 1 },
    engine: () =>
      QueryEngine.of({
        init: () =>
          Effect.as(
            Effect.addFinalizer(() => Effect.sync(() => log.push("closed"))),
            {
              payload: accept,
              chunks: Stream.concat(
                Stream.fromIterable(chunks.map((chunk) => encoder.encode(chunk))),
                ends ? Stream.empty : Stream.never
              ),
              commit: Effect.andThen(
                commit,
                Effect.sync(() => log.push("committed"))
              )
            }
          )
      })
  })
  const scope = yield* Scope.make()
  const query = yield* Scope.provide(engine.init(request), scope)
  return {
    query,
    log,
    process: () => processes.at(-1),
    text: Stream.mkString(Stream.decodeText(query.chunks)),
    close: Scope.close(scope, Exit.void)
  }
})

const code = (error: unknown): string =>
  error instanceof QueryFailed ? QueryApi.decodeError(error.payload).code : String(error)

describe("a query in a process that commits", () => {
  for (const chunks of [[], ["a"], ["a", "bc", "", "def"]]) {
    it.effect(`does so at the word of the parent, after all of its ${chunks.length} chunks`, () =>
      Effect.gen(function* () {
        const { close, log, query, text } = yield* world(chunks)
        assert.deepStrictEqual(JSON.parse(Buffer.from(query.payload).toString()), {
          format: "text/csv",
          queryId: "1"
        })
        assert.strictEqual(yield* text, chunks.join(""))
        assert.deepStrictEqual(log, [])
        yield* query.commit ?? Effect.die("no commit")
        assert.deepStrictEqual(log, ["committed", "closed"])
        yield* close
      })
    )
  }

  it.effect("undoes everything if it is given up before", () =>
    Effect.gen(function* () {
      const { close, log, process, text } = yield* world(["a"])
      yield* text
      yield* close
      assert.deepStrictEqual(log, ["closed"])
      assert.notInclude(process()?.did ?? [], "commit")
    })
  )

  it.effect("fails as its commit does", () =>
    Effect.gen(function* () {
      const conflict = QueryApi.queryError("execution_failed", "Conflict", { retryable: true })
      const failing = Effect.fail(new QueryFailed({ payload: QueryApi.encodeError(conflict) }))
      const { close, query, text } = yield* world(["a"], failing)
      yield* text
      const error = yield* Effect.flip(query.commit ?? Effect.void)
      assert.strictEqual(code(error), "execution_failed")
      yield* close
    })
  )

  it.effect("has an outcome that nobody knows if its process is lost while it commits", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const never = Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)
      const { close, process, query, text } = yield* world(["a"], never)
      yield* text
      const committing = yield* Effect.forkChild(Effect.flip(query.commit ?? Effect.void))
      yield* Deferred.await(begun)
      process()?.crash()
      assert.strictEqual(code(yield* Fiber.join(committing)), "unknown_outcome")
      yield* close
    })
  )

  it.effect("has changed nothing, and says so, if its process is lost before its result has ended", () =>
    Effect.gen(function* () {
      const { close, log, process, query } = yield* world(["a"], Effect.void, false)
      const first = yield* Deferred.make<void>()
      const drained = yield* Effect.forkChild(
        Effect.flip(Stream.runForEach(query.chunks, () => Deferred.succeed(first, undefined)))
      )
      yield* Deferred.await(first)
      process()?.crash()
      const { code, message, retryable } = QueryApi.decodeError((yield* Fiber.join(drained)).payload)
      assert.deepStrictEqual([code, retryable], ["engine_lost", false])
      assert.match(message, /Nothing is changed$/)
      assert.notInclude(log, "committed")
      yield* close
    })
  )

  it.effect("has changed nothing if its process is lost before", () =>
    Effect.gen(function* () {
      const { close, log, process, query, text } = yield* world(["a"])
      yield* text
      process()?.crash()
      const error = yield* Effect.flip(query.commit ?? Effect.void)
      assert.notInclude(log, "committed")
      assert.strictEqual(code(error), "unknown_outcome")
      yield* close
    })
  )
})
