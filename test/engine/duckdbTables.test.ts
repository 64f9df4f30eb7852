/**
 * Files that are served as tables: options of their readers, and several files as one table.
 */
import { appendFileSync, copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as TableFile from "../../src/engine/duckdb/TableFile.ts"
import * as DuckDb from "../../src/process/DuckDb.ts"
import * as Folder from "../support/Folder.ts"
import { ask, failure, rows, withEngine } from "./duckdbEngine.ts"

const files: Readonly<Record<string, string | Buffer>> = {
  "latin.csv": Buffer.from("id;name\n1;Zürich\n", "latin1"),
  "utf16.csv": Buffer.from("\ufeffid,name\n1,日本\n", "utf16le"),
  "mixed.csv": "id,name\r\n1,a\n2,b\r\n",
  "large.csv": `id,name\n1,${"x".repeat(2_500_000)}\n`,
  "late.csv": `id\n${"1\n".repeat(25_000)}oops\n`,
  "ill.csv": Buffer.from(`id,name\n${"1,x\n".repeat(25_000)}1,\xff\n`, "latin1"),
  "ragged.csv": "id,name\n1,a\n1,a,b,c\n",
  "part1.csv": "id,a\n1,x\n",
  "part2.csv": "b,id\ny,2\n",
  "part1.json": `{"id":1,"a":"x"}`,
  "part2.json": `{"id":2,"b":[1]}`
}

const folder = Effect.gen(function* () {
  const path = yield* Folder.make
  for (const [name, content] of Object.entries(files)) writeFileSync(join(path, name), content)
  return path
})

/** Asks about the table `t`, which is this. */
const serving = <A, E>(table: string, use: (engine: Parameters<typeof rows>[0]) => Effect.Effect<A, E>) =>
  Effect.flatMap(folder, (path) => withEngine({ tables: { t: join(path, table) }, threads: 1 }, use))

describe("a table", () => {
  it.effect.each<[table: string, query: string, found: unknown]>([
    ["latin.csv?encoding=latin-1&delim=;", "FROM t", [{ id: 1, name: "Zürich" }]],
    ["latin.csv?encoding=ISO-8859-1&delim=%3B&types.id=VARCHAR", "FROM t", [{ id: "1", name: "Zürich" }]],
    ["utf16.csv?encoding=utf-16", "FROM t", [{ id: 1, name: "日本" }]],
    ["mixed.csv?strict_mode=false", "SELECT count(*) AS n FROM t", [{ n: 2 }]],
    ["large.csv?max_line_size=3000000", "SELECT len(name) AS n FROM t", [{ n: 2_500_000 }]],
    ["late.csv?types.id=VARCHAR", "SELECT max(id) AS id FROM t", [{ id: "oops" }]],
    [
      "part*.json",
      "FROM t ORDER BY id",
      [
        { id: 1, a: "x", b: null },
        { id: 2, a: null, b: [1] }
      ]
    ],
    [
      "part?.csv",
      "FROM t ORDER BY id",
      [
        { id: 1, a: "x", b: null },
        { id: 2, a: null, b: "y" }
      ]
    ]
  ])("is read as %s", ([table, query, found]) =>
    serving(table, (engine) =>
      Effect.map(rows(engine, query), (answer) => assert.deepStrictEqual(answer, found))
    )
  )

  it.effect.each<[table: string, said: string]>([
    ["latin.csv", "This file is not utf-8 encoded"],
    ["ragged.csv?header=true&delim=,&skip=0", "null_padding=true"],
    // After the beginning of the line.
    ["large.csv", "max_line_size"],
    [
      "latin.csv?encoding=cp1252",
      `the option encoding: expected one of utf-8, utf-16, latin-1, not "cp1252"`
    ],
    ["latin.csv?filename=true", "there is no option filename for read_csv; there are all_varchar, "],
    ["latin.csv?__proto__=1", "there is no option __proto__ for read_csv"],
    ["latin.csv?skip=-1", `the option skip: expected a whole number of at least 0, not "-1"`],
    ["latin.csv?header=maybe", `the option header: expected true or false, not "maybe"`],
    ["latin.csv?header=true&header=true", "the option header is there twice"],
    ["latin.csv?header=true&skip", `expected OPTION=VALUE, not "skip"`],
    ["latin.csv?encoding=latin-1&types.nobody=DATE", `"nobody"`],
    ["part1.json?delim=;", "there is no option delim for read_json"],
    ["x.db?delim=;", "a DuckDB file has no options"]
  ])("is refused as %s", ([table, said]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(serving(table, () => Effect.void))
      if (error._tag !== "DuckDbError") return assert.fail(String(error))
      assert.strictEqual(error.setting, "tables.t")
      assert.include(error.message, said)
      assert.isAtMost(error.message.length, 4096)
      assert.notMatch(error.message, /Auto-Detected|search space|Candidates/)
    })
  )

  it.effect("that is read wrongly says to clients what the operator can do about it", () =>
    serving("late.csv", (engine) =>
      Effect.gen(function* () {
        const { message } = yield* failure(engine, "SELECT sum(id) FROM t")
        assert.include(message, `Could not convert string "oops"`)
        assert.match(message, /those of a served table are the server's operator's to set\.$/)
        assert.include(message, "file = t\n")
        assert.notMatch(message, /sample_size|late\.csv/)
      })
    )
  )

  it.live("that is not UTF-8 far from its beginning says so, although DuckDB thinks the fault its own", () =>
    serving("ill.csv", (engine) =>
      Effect.gen(function* () {
        const { code, message } = yield* failure(engine, "SELECT max(name) FROM t")
        assert.deepStrictEqual(
          { code, message },
          { code: "execution_failed", message: "The file of the table t is not UTF-8 in line 25002" }
        )
        // DuckDB does not read it again.
        assert.deepInclude(yield* failure(engine, "SELECT count(*) AS n FROM t"), {
          type: "J",
          code,
          message
        })
      })
    )
  )

  it.live("that an earlier process has found not to be UTF-8 is not read again before it changes", () =>
    Effect.gen(function* () {
      const path = join(yield* folder, "ill.csv")
      const notes: Array<unknown> = []
      const process = () =>
        Effect.flatMap(
          DuckDb.make(
            { tables: { t: path }, threads: 1, limitedBy: undefined },
            {
              notes: [...notes],
              note: (note) => void notes.push(note),
              lost: () => {},
              cancelGraceMillis: 1000,
              cancelIgnored: () => {}
            }
          ),
          (engine) => failure(engine, "SELECT max(name) FROM t")
        )
      const started = Effect.suspend(() => Effect.scoped(process()))
      assert.deepInclude(yield* started, { type: "E", code: "execution_failed" })
      assert.lengthOf(notes, 1)
      assert.deepInclude(yield* started, { type: "J", code: "execution_failed" })
      appendFileSync(path, "2,b\n")
      assert.deepInclude(yield* started, { type: "E", code: "execution_failed" })
    })
  )

  it.effect("that has no path of its own for a client is no less closed for its options", () =>
    serving("latin.csv?encoding=latin-1&delim=;", (engine) =>
      Effect.gen(function* () {
        const plan = JSON.stringify(yield* rows(engine, "EXPLAIN ANALYZE FROM t"))
        assert.notInclude(plan, "latin.csv")
      })
    )
  )
})

describe("a file whose name reads like a pattern", () => {
  /** Each holds its own name, as the column v. */
  const named = [
    "a*.csv", "a?.csv", "a[1].csv", "a[2].csv", "a1.csv", "ax.csv", "a[!1].csv", "a[[]*?.csv", "a].csv",
    "a[.csv", "a{1,x}.csv", "a**.csv", "a?b=c.csv", "[d]/*.csv", "d/x.csv", "p[1].json", "p1.json"
  ] // biome-ignore format: shorter

  /** What is served, and the files that it is. */
  const served: Readonly<Record<string, readonly [table: string, files: ReadonlyArray<string>]>> = {
    pattern: ["a*.csv", named.filter((name) => /^a.*csv$/.test(name))],
    range: ["a[0-9x].csv", ["a1.csv", "ax.csv"]],
    twice: ["a[[][12]].csv", ["a[1].csv", "a[2].csv"]],
    single: ["a[1].csv", ["a[1].csv"]],
    unlike: ["a[!a1].csv", ["a*.csv", "a?.csv", "a].csv", "a[.csv", "ax.csv"]],
    escaped: ["a[*].csv", ["a*.csv"]],
    question: ["a[?].csv?header=true", ["a?.csv"]],
    all: ["a[[][[][]][*][?].csv", ["a[[]*?.csv"]],
    braces: ["a{1,x}.csv", ["a{1,x}.csv"]],
    options: ["a[?]b=c.csv", ["a?b=c.csv"]],
    folder: ["[[]d]/*.csv", ["[d]/*.csv"]],
    folders: ["*/*.csv", ["[d]/*.csv", "d/x.csv"]],
    json: ["p[1].json", ["p[1].json"]],
    parquet: ["q[*].parquet", ["q*.parquet"]]
  }

  const path = Effect.gen(function* () {
    const folder = yield* Folder.make
    mkdirSync(join(folder, "[d]"))
    mkdirSync(join(folder, "d"))
    for (const name of named) {
      writeFileSync(join(folder, name), name.endsWith("csv") ? `v\n"${name}"\n` : JSON.stringify({ v: name }))
    }
    yield* withEngine({}, (engine) =>
      Effect.forEach(["q*.parquet", "q1.parquet"], (name) =>
        Effect.map(
          ask(engine, `SELECT '${name}' AS v`, { format: "application/vnd.apache.parquet" }),
          (bytes) => writeFileSync(join(folder, name), bytes)
        )
      )
    )
    yield* Effect.promise(async () => {
      const instance = await DuckDBInstance.create(join(folder, "b*.duckdb"))
      const connection = await instance.connect()
      await connection.run("CREATE TABLE t AS SELECT 7 AS n")
      connection.disconnectSync()
      instance.closeSync()
    })
    for (const name of ["b1.duckdb", "c[1].duckdb"])
      copyFileSync(join(folder, "b*.duckdb"), join(folder, name))
    return folder
  })

  it.live("is read as what it is, found by a pattern or by its name, and once", () =>
    Effect.gen(function* () {
      const folder = yield* path
      const tables = Object.entries({ ...served, exact: ["b*.duckdb"], database: ["c[[]*.duckdb"] }).map(
        ([name, [table]]) => [name, join(folder, String(table))]
      )
      yield* withEngine({ tables: Object.fromEntries(tables), threads: 1 }, (engine) =>
        Effect.gen(function* () {
          for (const [name, [, files]] of Object.entries(served)) {
            const read = yield* rows(engine, `SELECT list(v ORDER BY v) AS v FROM "${name}"`)
            assert.deepStrictEqual(read, [{ v: files.toSorted() }], name)
          }
          assert.deepStrictEqual(yield* rows(engine, "FROM exact.t, database.t"), [{ n: 7, n_1: 7 }])
          rmSync(join(folder, "a[1].csv"))
          const { code, message } = yield* failure(engine, "FROM single")
          assert.strictEqual(code, "not_found")
          assert.match(message, /^The file of the table single has been deleted or moved/)
        })
      )
    })
  )

  it.effect("is one that DuckDB can read, or the start says that it is not", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      writeFileSync(join(folder, "b\\*.csv"), "v\n1\n")
      const error = yield* Effect.flip(
        withEngine({ tables: { t: join(folder, "b*.csv") } }, () => Effect.void)
      )
      assert.include(error.message, "a path may not have a backslash beside *, ? or [")
    })
  )
})

describe("a path", () => {
  it("may be a pattern with question marks, and have options behind it", () => {
    const parsed = (text: string) => Result.getOrThrow(TableFile.parse(text))
    assert.deepStrictEqual(parsed("a?.csv"), { path: "a?.csv", options: [] })
    assert.deepStrictEqual(parsed("a?.csv?nullstr=?&quote=%26"), {
      path: "a?.csv",
      options: [
        ["nullstr", "?"],
        ["quote", "&"]
      ]
    })
    assert.strictEqual(TableFile.pathOf("a.csv?delim=%zz"), "a.csv?delim=%zz")
    assert.isTrue(Result.isFailure(TableFile.parse("a.csv?delim=%zz")))
  })
})
