import { assert, describe, it } from "@effect/vitest"
import { tableFromIPC } from "apache-arrow"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as Failure from "../../src/engine/duckdb/Failure.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { ask, columns, failure, rows, text, withEngine } from "./duckdbEngine.ts"

const formats = QueryApi.Format.literals

describe("results", () => {
  it.effect("without rows are whole in each format", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const query = "SELECT 1 AS a, 'x' AS b WHERE false"
        assert.strictEqual(yield* text(engine, query), "[]")
        assert.strictEqual(yield* text(engine, query, { format: "application/x-ndjson" }), "")
        assert.strictEqual(yield* text(engine, query, { format: "text/csv" }), "a,b\r\n")
        const arrow = tableFromIPC(
          yield* ask(engine, query, { format: "application/vnd.apache.arrow.stream" })
        )
        assert.strictEqual(arrow.numRows, 0)
        assert.deepStrictEqual(
          arrow.schema.fields.map(({ name }) => name),
          ["a", "b"]
        )
        const parquet = yield* ask(engine, query, { format: "application/vnd.apache.parquet" })
        assert.strictEqual(parquet.toString("latin1", 0, 4), "PAR1")
      })
    )
  )

  it.effect("tell columns of one name apart, and name them alike in the accept", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const query = 'SELECT 1 AS r, 2 AS R, 3 AS "r_", 4 AS "a,""b"'
        const names = ["r", "R_1", "r_", 'a,"b']
        assert.deepStrictEqual(
          (yield* columns(engine, query))?.map(({ name }) => name),
          names
        )
        assert.deepStrictEqual(yield* rows(engine, query), [{ r: 1, R_1: 2, r_: 3, 'a,"b': 4 }])
        assert.strictEqual(
          yield* text(engine, query, { format: "text/csv" }),
          'r,R_1,r_,"a,""b"\r\n1,2,3,4\r\n'
        )
      })
    )
  )

  it.effect("are infinite for numbers beyond a double, wherever these stand", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const numbers = "string"
        for (const query of [
          "SELECT 1e400 AS n, -1e400 AS m;",
          "FROM (VALUES (1e400, -1e400)) t(n, m) WHERE m < 1e400",
          "SELECT list_aggregate([1e400, 2], 'max') AS n, CAST(-1e400 AS FLOAT) AS m"
        ]) {
          const found = yield* rows(engine, query, { numbers })
          assert.deepStrictEqual(found, [{ n: "Infinity", m: "-Infinity" }], query)
        }
        assert.include(yield* text(engine, "EXPLAIN SELECT 1e400"), "PROJECTION")
        assert.include(yield* failure(engine, "FROM range(3) LIMIT 1e400"), { code: "invalid_query" })
      })
    )
  )

  it.effect("are the same whatever stands after the statement", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        for (const query of [
          "SELECT 1 AS a;",
          "SELECT 1 AS a -- done",
          "SELECT 1 AS a /* ; /* nested */ */ ; -- done;",
          "/* ; */ SELECT 1 AS a;;",
          "FROM (VALUES (1)) t(a)",
          "WITH t AS (SELECT 1 AS a) FROM t"
        ]) {
          assert.deepStrictEqual(yield* rows(engine, query), [{ a: 1 }], query)
        }
        assert.deepStrictEqual(yield* rows(engine, "SELECT '; --' AS a, $$;'$$ AS b;"), [
          { a: "; --", b: ";'" }
        ])
      })
    )
  )

  it.effect("come in chunks of at most 256 KiB, read only as they are pulled", () =>
    withEngine({}, (engine) =>
      Effect.scoped(
        Effect.gen(function* () {
          const query = "SELECT i, repeat('x', 100) AS s FROM range(1000000000) t(i)"
          const accepted = yield* engine.init(QueryApi.encodeRequest({ query }))
          const first = yield* Stream.runCollect(Stream.take(accepted.chunks, 20))
          assert.lengthOf(first, 20)
          assert.isTrue(first.every(({ length }) => length > 0 && length <= 256 * 1024))
        })
      )
    )
  )

  for (const query of [
    "SHOW TABLES",
    "DESCRIBE SELECT 1 AS a",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "EXPLAIN (FORMAT json) SELECT 1",
    "PRAGMA table_info('trades')",
    "SUMMARIZE trades"
  ]) {
    it.effect(`of ${query} come in each format`, () =>
      withEngine({ sample: true }, (engine) =>
        Effect.gen(function* () {
          const found = (yield* rows(engine, query)) as ReadonlyArray<object>
          assert.isNotEmpty(found)
          const names = (yield* columns(engine, query))?.map(({ name }) => name)
          assert.deepStrictEqual(Object.keys(found[0] ?? {}), names)
          const arrow = yield* ask(engine, query, { format: "application/vnd.apache.arrow.stream" })
          assert.strictEqual(tableFromIPC(arrow).numRows, found.length)
          for (const format of formats) assert.isNotEmpty(yield* ask(engine, query, { format }))
        })
      )
    )
  }
})

describe("parameters", () => {
  for (const [what, query, parameters, expected] of [
    [
      "positional scalars",
      "SELECT ? AS a, ? AS b, ? AS c, ? AS d",
      [41, "it's", true, null],
      { a: 41, b: "it's", c: true, d: null }
    ],
    [
      "numbers of every size",
      "SELECT ? AS a, ? AS b, ? AS c",
      [1.5, 2 ** 40, -1e300],
      { a: 1.5, b: 2 ** 40, c: -1e300 }
    ],
    ["numbered ones out of order", "SELECT $2 AS a, $1 AS b", [1, 2], { a: 2, b: 1 }],
    ["named ones", "SELECT $x + $x + $y AS a", { x: 20, y: 1 }, { a: 41 }],
    ["lists", "SELECT ? AS a, len(?) AS b", [[1, null, 2.5], []], { a: [1, null, 2.5], b: 0 }],
    ["objects", "SELECT ? AS a", [{ x: [{ y: "z" }] }], { a: { x: [{ y: "z" }] } }],
    [
      "a value that the statement casts",
      "SELECT 1 AS a WHERE DATE '2024-01-02' = ?",
      ["2024-01-02"],
      { a: 1 }
    ]
  ] as const) {
    it.effect(`${what} reach the query in every format`, () =>
      withEngine({}, (engine) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* rows(engine, query, { parameters }), [expected])
          for (const format of formats) assert.isNotEmpty(yield* ask(engine, query, { parameters, format }))
        })
      )
    )
  }

  it.effect("give the columns of the accept their types", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(
          yield* columns(engine, "SELECT ? AS a, ? AS b", { parameters: ["x", [0.5]] }),
          [
            { name: "a", type: "VARCHAR" },
            { name: "b", type: "DOUBLE[]" }
          ]
        )
      })
    )
  )

  for (const [what, query, parameters, mention] of [
    ["too few", "SELECT ?, ?", [1], "parameters.2"],
    ["too many", "SELECT ?", [1, 2], "parameters.2"],
    ["another name", "SELECT $x", { y: 1 }, "parameters.y"],
    ["none where some are needed", "SELECT ?", undefined, "parameters.1"],
    ["a list of mixed types", "SELECT ?", [[1, "x"]], "parameters.1"]
  ] as const) {
    it.effect(`${what} are a bad request that names one`, () =>
      withEngine({}, (engine) =>
        Effect.gen(function* () {
          const error = yield* failure(engine, query, parameters === undefined ? {} : { parameters })
          assert.deepInclude(error, { type: "J", code: "bad_request" })
          assert.include(error.message, mention)
        })
      )
    )
  }
})

describe("many parameters", () => {
  it.effect("take no longer than their number", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const parameters = Array.from({ length: 16_000 }, (_, i) => i)
        const names = parameters.map((i) => `$${i + 1}`)
        const query = `SELECT 7 IN (${names.join(",")}) AS yes`
        assert.deepStrictEqual(yield* rows(engine, query, { parameters }), [{ yes: true }])
      })
    )
  )
})

describe("rejects", () => {
  for (const [query, code, position] of [
    ["SELEC 1", "syntax_error", 1],
    ["SELECT 'é😀', FROM FROM", "syntax_error", 19],
    ["SELECT * FROM nowhere", "not_found", 15],
    ["SELECT 'é😀', nothing", "invalid_query", 14],
    ["SELECT no_such_function(1)", "not_found", 8],
    ["SELECT 1; SELECT 2", "invalid_query", undefined],
    ["SELECT $2 AS x", "invalid_query", undefined],
    ["  -- nothing", "invalid_query", undefined],
    [";", "invalid_query", undefined],
    ["SELECT 1 \0; SELECT 2", "syntax_error", undefined]
  ] as const) {
    it.effect(`${query} with ${code}${position === undefined ? "" : ` at character ${position}`}`, () =>
      withEngine({}, (engine) =>
        Effect.gen(function* () {
          assert.deepInclude(yield* failure(engine, query), { type: "J", code, position })
        })
      )
    )
  }
})

describe("a query that fails", () => {
  it.effect("says where in its text, in each format", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const made = "(SELECT 'abc' || range AS \"x y\" FROM range(3))"
        const query = `SELECT 'é😀',\n CAST("x y" AS INT) AS x, 1 AS X FROM ${made}; -- done`
        for (const format of formats) {
          const error = yield* failure(engine, query, { format })
          assert.deepInclude(error, { type: "E", code: "execution_failed", position: 15 })
        }
      })
    )
  )

  it.effect("says where in its text, and in no other", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        yield* ask(engine, "CREATE VIEW v AS SELECT x::INT AS y FROM (VALUES ('5'), ('abc')) t(x)")
        yield* ask(engine, "CREATE MACRO m(x) AS x::INT")
        yield* ask(engine, "CREATE TABLE t(a INT DEFAULT ('abc'::INT), b INT)")
        yield* ask(engine, "CREATE VIEW c AS SELECT 'abc'::INT AS y")
        yield* ask(engine, "CREATE TABLE base(a INT, b INT)")
        yield* ask(engine, "CREATE VIEW broken AS SELECT a, b FROM base WHERE b > 0")
        yield* ask(engine, "CREATE VIEW nested AS SELECT a FROM broken")
        yield* ask(engine, "ALTER TABLE base DROP COLUMN b")
        for (const [query, at] of [
          ["SELECT 'é', 'abc'::INT", "::"],
          ["SELECT $1::INT", "::"],
          ["EXPLAIN ANALYZE SELECT 'é', 'abc'::INT", "::"],
          ["FROM range(3) LIMIT 'abc'", "'abc'"],
          ["CREATE TABLE u AS SELECT 'é', 'abc'::INT", "::"],
          ["EXPLAIN INSERT INTO t(a) VALUES ('é')", "'é'"],
          ["SELECT y AS this_is_longer_than_the_text_of_the_view FROM v ORDER BY y", undefined],
          ["EXPLAIN ANALYZE SELECT 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10 + y FROM v", undefined],
          ["SELECT m('abc') AS this_is_longer_than_the_text_of_the_macro", undefined],
          ["INSERT INTO t(b) VALUES (1)", undefined],
          ["INSERT INTO t(b) SELECT 12345 FROM range(2) ORDER BY ALL", undefined],
          ["INSERT INTO base SELECT y FROM c", undefined],
          ["UPDATE base SET a = (SELECT y FROM c)", undefined],
          ["CREATE TABLE u AS SELECT y FROM c ORDER BY y", undefined],
          ["FROM broken", undefined],
          ["SELECT count(*) AS n FROM broken WHERE a > 5 ORDER BY 1", undefined],
          ["FROM nested WHERE a > 1 AND a < 100000 ORDER BY a, a, a", undefined],
          ["EXPLAIN SELECT * FROM broken WHERE a > 1 AND a < 100000", undefined],
          ["SUMMARIZE broken", undefined],
          ["SELECT array_to_string_comma_default('a', sep := ',')", undefined],
          ["SELECT nothing FROM base JOIN c ON true", "nothing"],
          ["INSERT INTO base SELECT nothing FROM c", "nothing"]
        ] as const) {
          const details = query.includes("$1") ? { parameters: ["abc"] } : {}
          const { position } = yield* failure(engine, query, details)
          assert.strictEqual(position, at && query.indexOf(at) + 1, query)
        }
      })
    )
  )

  const bad = "CASE WHEN i = 1000000 THEN 'boom' ELSE '1' END::INTEGER AS x"
  for (const [what, query, threads] of [
    // On several threads DuckDB loses the error of a stream without batches now and then.
    ["half way", `SELECT i, ${bad} FROM range(3000000) t(i)`, 1],
    ["half way, with an order", `SELECT i, ${bad} FROM range(1500000) t(i) ORDER BY x DESC, i`, undefined],
    ["half way, on all threads", `SELECT i, ${bad} FROM big`, undefined],
    ["in an aggregate", `SELECT sum(x) FROM (SELECT ${bad} FROM big)`, undefined]
  ] as const) {
    for (const format of formats) {
      it.effect(`${what} never ends as a whole result in ${format}, and says why`, () =>
        withEngine({ readWrite: true, threads: format === formats[4] ? undefined : threads }, (engine) =>
          Effect.gen(function* () {
            yield* ask(engine, "CREATE TABLE big AS FROM range(1200000) t(i)")
            assert.deepInclude(yield* failure(engine, query, { format }), {
              type: "E",
              code: "execution_failed",
              message: "Could not convert string 'boom' to INT32"
            })
          })
        )
      )
    }
  }

  it.effect("before its first row has given nothing of a result, in any format", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const query = "SELECT CASE WHEN i = 5 THEN error('boom') END AS x FROM range(10) t(i)"
        for (const format of formats) {
          let bytes = 0
          const error = yield* Effect.scoped(
            Effect.gen(function* () {
              const { chunks } = yield* engine.init(QueryApi.encodeRequest({ query, format }))
              yield* Stream.runForEach(chunks, (chunk) => Effect.sync(() => (bytes += chunk.length)))
            })
          ).pipe(Effect.flip)
          assert.deepStrictEqual([error._tag, bytes], ["QueryFailed", 0], format)
        }
      })
    )
  )

  it.effect("is not run again to learn why, and its own error is told", () =>
    withEngine({ readWrite: true, threads: 1 }, (engine) =>
      Effect.gen(function* () {
        yield* ask(engine, "CREATE SEQUENCE s")
        const query = "SELECT nextval('s') AS n, CASE WHEN i = 1000000 THEN error(random()::VARCHAR) END AS x"
        const { code, message } = yield* failure(engine, `${query} FROM range(1500000) t(i)`)
        assert.strictEqual(code, "execution_failed")
        assert.match(message, /^0\.\d+$/)
        const [next] = (yield* rows(engine, "SELECT nextval('s') AS n")) as ReadonlyArray<{ n: number }>
        // Chunks of rows are computed as a whole.
        assert.isBelow(next?.n ?? 0, 1_000_000 + 2 * 2048)
      })
    )
  )

  it.effect("for want of memory says so", () =>
    withEngine({ memoryLimit: "50MB", threads: 1 }, (engine) =>
      Effect.gen(function* () {
        const query = "SELECT len(list(repeat('x', 1000) || i)) AS n FROM range(10000000) t(i)"
        assert.deepInclude(yield* failure(engine, query), { type: "E", code: "out_of_memory" })
        assert.deepStrictEqual(yield* rows(engine, "SELECT 1 AS a"), [{ a: 1 }])
        const failed = { type: "Out of Memory", message: "Allocation failure", offset: undefined }
        assert.deepInclude(Failure.toReject(failed, query), { code: "out_of_memory", retryable: false })
      })
    )
  )
})

// Left alone, each of these would compute for hours.
describe("interruption", () => {
  const endless = "SELECT count(*) FROM range(10000000000) a, range(10000000000) b"
  const connections = (engine: Parameters<typeof rows>[0]) =>
    rows(engine, "SELECT count::INTEGER AS n FROM duckdb_connection_count()")

  for (const format of formats) {
    it.effect(`ends a query that computes silently, in ${format}`, () =>
      withEngine({}, (engine) =>
        Effect.gen(function* () {
          const before = yield* connections(engine)
          const accepted = yield* Effect.forkChild(
            Effect.scoped(
              Effect.flatMap(engine.init(QueryApi.encodeRequest({ query: endless, format })), ({ chunks }) =>
                Stream.runDrain(chunks)
              )
            )
          )
          // As soon as a second connection is seen, the query has begun.
          while (JSON.stringify(yield* connections(engine)) === JSON.stringify(before)) yield* Effect.yieldNow
          yield* Fiber.interrupt(accepted)
          assert.deepStrictEqual(yield* connections(engine), before)
        })
      )
    )
  }

  it.effect("at any moment leaves nothing behind", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const before = yield* connections(engine)
        for (let turns = 0; turns < 60; turns++) {
          const fiber = yield* Effect.forkChild(ask(engine, endless))
          for (let turn = 0; turn < turns; turn++)
            yield* Effect.promise(() => new Promise((r) => setImmediate(r)))
          yield* Fiber.interrupt(fiber)
        }
        assert.deepStrictEqual(yield* connections(engine), before)
      })
    )
  )

  it.effect("of a stream that is not read to its end closes its connection", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const before = yield* connections(engine)
        yield* Effect.scoped(
          Effect.gen(function* () {
            const query = "FROM range(1000000000) t(i)"
            const accepted = yield* engine.init(QueryApi.encodeRequest({ query }))
            yield* Stream.runDrain(Stream.take(accepted.chunks, 2))
          })
        )
        assert.deepStrictEqual(yield* connections(engine), before)
      })
    )
  )
})
