import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Client from "../../src/client/Client.ts"
import * as Rows from "../../src/client/Rows.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Chunk from "../../src/net/Chunk.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as TestServer from "../../src/testing/TestServer.ts"

const encoder = new TextEncoder()

type Answer = Partial<QueryApi.QueryResult> & { readonly parts?: ReadonlyArray<string> }

/** An engine that answers everything with this, and remembers what it was asked. */
const answering = ({ parts = [], ...result }: Answer) => {
  const asked: Array<QueryApi.ResolvedRequest> = []
  const chunks = Stream.fromIterable(parts.map((part) => encoder.encode(part)))
  const engine = QueryApi.makeEngine({
    formats: ["application/x-ndjson", "text/csv"],
    run: (request) => {
      asked.push(request)
      return Effect.succeed({ chunks, ...result })
    }
  })
  return { asked, engine }
}

const connect = (engine: QueryEngine["Service"], client: Partial<Client.Settings> = {}) =>
  Effect.provideService(TestServer.connect({ client }), QueryEngine, engine)

const client = (result: Answer, settings?: Partial<Client.Settings>) =>
  connect(answering(result).engine, settings)

/** The rows that came, and how the stream ended. */
const collect = Effect.fnUntraced(function* <A, E, R>(rows: Stream.Stream<A, E, R>) {
  const all: Array<A> = []
  const exit = yield* Effect.exit(Stream.runForEach(rows, (row) => Effect.sync(() => all.push(row))))
  const error = Option.getOrUndefined(Exit.findErrorOption(exit))
  return { rows: all, error }
})

const query = "FROM counts"
const Count = Schema.Struct({ symbol: Schema.String, n: Schema.BigInt })

describe("the rows of a query", () => {
  it.effect("are decoded by the schema, from NDJSON whose wide numbers are texts", () =>
    Effect.gen(function* () {
      const { asked, engine } = answering({
        parts: ['{"symbol":"é","n":"900719925', '4740993"}\n{"symbol":"b","n":1,"more":[]}\n']
      })
      const client = yield* connect(engine)
      assert.deepStrictEqual(yield* collect(client.rows({ query, parameters: [1] }, Count)), {
        rows: [
          { symbol: "é", n: 9007199254740993n },
          { symbol: "b", n: 1n }
        ],
        error: undefined
      })
      const [request] = asked
      assert.deepInclude(request, {
        query,
        parameters: [1],
        format: "application/x-ndjson",
        numbers: "string"
      })
    })
  )

  it.effect("are values of JSON without one", () =>
    Effect.gen(function* () {
      const { rows } = yield* client({ parts: ['{"n":"1","l":[null,{"x":true}],"__proto__":2}\n', "{}"] })
      assert.deepStrictEqual(yield* Stream.runCollect(rows({ query })), [
        { n: "1", l: [null, { x: true }], ["__proto__"]: 2 },
        {}
      ])
    })
  )

  it.effect("are none where the result is empty", () =>
    Effect.gen(function* () {
      const { rows } = yield* client({})
      assert.deepStrictEqual(yield* Stream.runCollect(rows({ query }, Count)), [])
    })
  )

  it.effect("may need services, and wait, in their schema", () =>
    Effect.gen(function* () {
      class Rate extends Context.Service<Rate, number>()("Rate") {}
      const Price = Schema.Finite.pipe(
        Schema.decodeTo(Schema.Finite, {
          decode: SchemaGetter.transformEffect((price: number) =>
            Effect.flatMap(Rate, (rate) => Effect.as(Effect.sleep(1000), price * rate))
          ),
          encode: SchemaGetter.passthrough()
        })
      )
      const { rows } = yield* client({ parts: ['{"p":1}\n{"p":2}\n{"p":"x"}\n{"p":3}\n'] })
      const priced = rows({ query }, Schema.Struct({ p: Price }))
      const fiber = yield* Effect.forkChild(Effect.provideService(collect(priced), Rate, 10))
      yield* TestServer.settle
      yield* TestClock.adjust(2000)
      const { error, rows: found } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(found, [{ p: 10 }, { p: 20 }])
      assert.strictEqual(error?.message, 'Row 3 does not match the schema at ["p"]: Expected number, got "x"')
    })
  )
})

it.effect("rows that are longer than what is read at a time come whole, and are counted", () =>
  Effect.gen(function* () {
    const texts = [200_000, 1, 300_000, 70_000, 5].map((length, i) => String(i).repeat(length))
    const parts = texts.map((t, i) => `${JSON.stringify({ t, n: i < 4 ? i : "x" })}\n`)
    const { rows } = yield* client({ parts })
    const Long = Schema.Struct({ t: Schema.String, n: Schema.Int })
    const { error, rows: found } = yield* collect(rows({ query }, Long))
    assert.deepStrictEqual(
      found,
      texts.slice(0, 4).map((t, n) => ({ t, n }))
    )
    assert.strictEqual(error?.message, 'Row 5 does not match the schema at ["n"]: Expected number, got "x"')
  })
)

describe("a stream of rows fails after the rows before", () => {
  it.effect("a row that does not match, and says which and where", () =>
    Effect.gen(function* () {
      const Nested = Schema.Struct({ n: Schema.Array(Schema.Struct({ x: Schema.Int })) })
      const { rows } = yield* client({
        parts: ['{"n":[{"x":1}]}\n', '{"n":[]}\n{"n":[{"x":1},{"x":"9007199254740993"}]}\n{"n":[]}\n']
      })
      const { error, rows: found } = yield* collect(rows({ query }, Nested))
      assert.deepStrictEqual(found, [{ n: [{ x: 1 }] }, { n: [] }])
      assert.instanceOf(error, Rows.RowError)
      assert.deepInclude(error.reason, { _tag: "RowMismatch", row: 3, path: ["n", 1, "x"] })
      assert.strictEqual(
        error.message,
        'Row 3 does not match the schema at ["n"][1]["x"]: Expected number, got "9007199254740993" ' +
          "(a JavaScript number cannot hold all its digits: use Schema.BigInt or Schema.BigDecimal)"
      )
    })
  )

  it.effect("a row that is none", () =>
    Effect.gen(function* () {
      const { rows } = yield* client({ parts: ["{}\n", "{}\nsymbol,n\r\n"] })
      const { error, rows: found } = yield* collect(rows({ query }))
      assert.deepStrictEqual(found, [{}, {}])
      assert.strictEqual(error?.message, 'Row 3 cannot be read: not JSON: "symbol,n\\r"')
    })
  )

  it.effect("a row that is longer than maxRowSize", () =>
    Effect.gen(function* () {
      const parts = ["{}\n", `{"a":"${"x".repeat(100)}"}\n`, "{}\n"]
      const { rows } = yield* client({ parts }, { maxRowSize: 100 })
      const { error, rows: found } = yield* collect(rows({ query }))
      assert.deepStrictEqual(found, [{}])
      assert.strictEqual(error?.message, "Row 2 is longer than 100 bytes (maxRowSize)")
    })
  )

  it.effect("a query that fails, of whose last row a part had come", () =>
    Effect.gen(function* () {
      const chunks = Stream.concat(
        Stream.make(encoder.encode('{"n":1}\n{"n":')),
        Stream.fail(QueryApi.queryError("execution_failed", "Division by zero"))
      )
      const { rows } = yield* client({ chunks })
      const { error, rows: found } = yield* collect(rows({ query }))
      assert.deepStrictEqual(found, [{ n: 1 }])
      assert.deepInclude(error, { _tag: "QueryError", message: "Division by zero" })
    })
  )

  it.effect("a result that ends within a row", () =>
    Effect.gen(function* () {
      const { rows } = yield* client({ parts: ['{"n":1}\n{"n":2'] })
      const { error, rows: found } = yield* collect(rows({ query }))
      assert.deepStrictEqual(found, [{ n: 1 }])
      assert.strictEqual(error?.message, 'Row 2 cannot be read: not JSON: "{\\"n\\":2"')
    })
  )
})

describe("a query for rows", () => {
  /** An engine with rows without end, in chunks of a kilobyte. */
  const endless = () => {
    const state = { chunks: 0, ended: 0 }
    const row = `${JSON.stringify({ text: "x".repeat(1000) })}\n`
    const chunks = Stream.ensuring(
      Stream.fromEffectRepeat(
        Effect.sync(() => {
          state.chunks++
          return encoder.encode(row)
        })
      ),
      Effect.sync(() => void state.ended++)
    )
    return { state, engine: answering({ chunks }).engine }
  }

  it.effect("is held back by whoever takes its rows, and cancelled when nobody does any more", () =>
    Effect.gen(function* () {
      const { engine, state } = endless()
      const client = yield* connect(engine)
      const held = yield* Effect.forkChild(Stream.runForEach(client.rows({ query }), () => Effect.never))
      yield* TestServer.settle
      const { chunks } = state
      yield* TestServer.settle
      assert.isAbove(chunks, 0)
      assert.isBelow(chunks, 10_000)
      assert.strictEqual(state.chunks, chunks)
      assert.strictEqual(state.ended, 0)
      yield* Fiber.interrupt(held)
      assert.strictEqual(state.ended, 1)
      // The connection is free again, without a scope that had to be closed.
      const some = yield* Stream.runCollect(Stream.take(client.rows({ query }), 3))
      assert.strictEqual(some.length, 3)
      assert.strictEqual(state.ended, 2)
    })
  )

  it.effect("is cancelled by a row that is refused", () =>
    Effect.gen(function* () {
      const { engine, state } = endless()
      const client = yield* connect(engine)
      const error = yield* Effect.flip(Stream.runDrain(client.rows({ query }, Count)))
      assert.strictEqual(error._tag, "RowError")
      assert.strictEqual(state.ended, 1)
    })
  )

  it.effect("is not sent before the stream is run, and each time that it is", () =>
    Effect.gen(function* () {
      const { asked, engine } = answering({ parts: ["{}\n"] })
      const rows = (yield* connect(engine)).rows({ query })
      assert.strictEqual(asked.length, 0)
      yield* Stream.runDrain(rows)
      yield* Stream.runDrain(rows)
      assert.strictEqual(asked.length, 2)
    })
  )
})

describe("the rows of a response", () => {
  it.effect("leave its accept and its receipt to whoever wants them", () =>
    Effect.gen(function* () {
      const columns = [{ name: "n", type: "BIGINT", wideNumbers: true }]
      const { query: ask } = yield* client({ columns, parts: ['{"n":"1"}\n', '{"n":"2"}\n'] })
      const response = yield* ask(Rows.query({ query, receipt: true }))
      assert.strictEqual(response.accepted.columns?.[0]?.name, "n")
      const rows = yield* Stream.runCollect(Rows.fromResponse(response, Schema.Struct({ n: Schema.Int })))
      assert.deepStrictEqual(rows, [{ n: 1 }, { n: 2 }])
      const receipt = response.receipt()
      assert.strictEqual(receipt && Result.getOrThrow(receipt).bytes, 20)
    })
  )

  it.effect("are refused where they have another format, or two columns one name", () =>
    Effect.gen(function* () {
      const twice = ["a", "b", "a"].map((name) => ({ name, type: "INTEGER" }))
      const { query: ask } = yield* client({ columns: twice, parts: ["a\r\n1\r\n"] })
      for (const [format, message] of [
        ["text/csv", "Rows are read from application/x-ndjson, and the result is text/csv"],
        ["application/x-ndjson", 'Two columns have the name "a"']
      ] as const) {
        const response = yield* ask({ query, format })
        const error = yield* Effect.flip(Stream.runDrain(Rows.fromResponse(response)))
        assert.deepInclude(error, { _tag: "QueryError", message })
      }
    }).pipe(Effect.scoped)
  )

  it.effect("give the memory of the chunks back, and keep nothing of it", () =>
    Effect.gen(function* () {
      const released: Array<number> = []
      const parts = ['{"a":"one"}\n{"a":', '"two"}', '\n{"a":"three"}\n']
      const chunks = Stream.fromIterable(parts).pipe(
        Stream.map((part, i) =>
          Chunk.owned(encoder.encode(part), (chunk) => {
            released.push(i)
            chunk.fill(0)
          })
        )
      )
      const accepted = new QueryApi.QueryAccepted({ format: "application/x-ndjson", queryId: "1" })
      const rows = Rows.fromResponse({ accepted, receipt: () => undefined, chunks })
      assert.deepStrictEqual(yield* Stream.runCollect(rows), [{ a: "one" }, { a: "two" }, { a: "three" }])
      assert.deepStrictEqual(released, [0, 1, 2])
    })
  )

  it.effect("are not longer than their own maxRowSize, which is a size", () =>
    Effect.gen(function* () {
      const response = yield* (yield* client({ parts: ['{"a":"12345"}'] })).query(Rows.query({ query }))
      assert.throws(() => Rows.fromResponse(response, undefined, { maxRowSize: 0 }), RangeError, "maxRowSize")
      const error = yield* Effect.flip(
        Stream.runDrain(Rows.fromResponse(response, undefined, { maxRowSize: 5 }))
      )
      assert.strictEqual(error.message, "Row 1 is longer than 5 bytes (maxRowSize)")
    })
  )
})

it.effect("a maxRowSize that is no size is refused by name when a client is made", () =>
  Effect.gen(function* () {
    const [near] = yield* MemorySocket.pair()
    const exit = yield* Effect.exit(Client.make(near, { maxRowSize: 0 }))
    assert.include(String(exit), "maxRowSize")
  })
)
