import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Paths from "../../src/engine/duckdb/Paths.ts"
import * as Folder from "../support/Folder.ts"
import { failure, rows, text, withEngine } from "./duckdbEngine.ts"

const reading = (path: string) => [
  `INSERT INTO t SELECT * FROM '${path}'`,
  `INSERT INTO t FROM "${path}"`,
  `INSERT INTO t WITH c AS (FROM '${path}') FROM c`,
  `INSERT INTO t SELECT a.a FROM t AS a, '${path}'`,
  `INSERT INTO t SELECT a.a FROM t a JOIN /* of */ '${path}' b ON true`,
  `INSERT INTO t SELECT 1 FROM -- ('
     '${path}'`,
  `INSERT INTO t FROM $$${path}$$`,
  `CREATE TABLE u AS FROM '${path}'`,
  `CREATE VIEW v AS FROM '${path}'`,
  `CREATE MACRO m() AS TABLE FROM '${path}'`,
  `UPDATE t SET a = 1 FROM '${path}' s`,
  `UPDATE t SET a = (SELECT max(a) FROM '${path}')`,
  `DELETE FROM t USING '${path}' s`,
  `MERGE INTO t USING '${path}' s ON s.a = t.a WHEN MATCHED THEN DELETE`
]

const writing = [
  "INSERT INTO t VALUES (1, '/a/b.csv'), (2, 'x\\y')",
  "INSERT INTO t SELECT a, 'https://a.b/c.json' FROM t WHERE name IN ('/a', 'b.csv')",
  "INSERT INTO t SELECT 3, name FROM t AS s WHERE name = 'c.parquet' OR a IN (SELECT a FROM t WHERE name = '/x')",
  "UPDATE t SET name = 'it''s/d.csv' WHERE name LIKE '/%'",
  "DELETE FROM t WHERE name = '/a/b.csv'",
  "CREATE TABLE u (path VARCHAR DEFAULT '/a/b.csv')",
  "INSERT INTO t SELECT a, name FROM (SELECT 4 AS a, '/from' AS name) -- FROM '/a'",
  "INSERT INTO t (a, name) VALUES (5, 'copied from '''), (6, '/x')"
]

describe("a served file", () => {
  it.effect("is not read by the parts of its path, nor can they be guessed", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      writeFileSync(join(folder, "served.csv"), "a\n1\n")
      const tables = { csv: join(folder, "served.csv"), s: join(folder, "served.csv") }
      yield* withEngine({ tables }, (engine) =>
        Effect.gen(function* () {
          for (const file of ["served", "other"]) {
            const [path, [first, last]] = [join(folder, file), [folder.slice(0, 5), folder.slice(5)]]
            for (const query of [
              `FROM "${path}".csv`,
              `FROM "${first}"."${last}/${file}".CSV`,
              `FROM s, "file:${path}"."csv" AS t`,
              `DESCRIBE "${path}".csv`,
              `SUMMARIZE "${path}".csv`,
              `SELECT (SELECT count(*) FROM (FROM main.csv, "${path}".csv))`,
              `EXPLAIN FROM "${path}".csv`
            ]) {
              assert.include((yield* failure(engine, query)).message, "names tables, not files", query)
            }
            for (const query of [
              `COPY s TO '${path}.csv'`,
              `COPY s FROM ('${path}' || chr(46) || 'csv')`,
              `/* */ ; COPY s TO ('${path}' || chr(46) || 'csv')`,
              `EXPLAIN COPY s TO '${path}.csv'`,
              `EXPORT DATABASE '${path}.csv'`
            ]) {
              const { code, message } = yield* failure(engine, query)
              assert.match(`${code} ${message}`, /^not_allowed .*(are not allowed|not files)/, query)
            }
          }
          assert.deepStrictEqual(yield* rows(engine, "SELECT csv.a FROM main.csv, memory.main.s"), [{ a: 1 }])
        })
      )
    })
  )
})

describe("a statement that writes", () => {
  it.effect("reads no file by its path, served or not", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      const served = join(folder, "served.csv")
      writeFileSync(served, "a\n1\n")
      yield* withEngine({ readWrite: true, tables: { s: served } }, (engine) =>
        Effect.gen(function* () {
          yield* text(engine, "CREATE TABLE t (a INTEGER, name VARCHAR)")
          for (const path of [served, join(folder, "other.csv"), "nowhere.parquet"]) {
            for (const query of reading(path)) {
              const { code, message } = yield* failure(engine, query)
              assert.deepStrictEqual(
                [code, /names tables, not files/.test(message)],
                ["not_allowed", true],
                query
              )
            }
          }
          for (const path of [served, join(folder, "other.csv")]) {
            for (const query of [
              `COPY t TO '${path}'`,
              `COPY t FROM ('${path}' || '')`,
              `ATTACH '${path}'`
            ]) {
              const { code, message } = yield* failure(engine, query)
              assert.match(`${code} ${message}`, /^not_allowed .*(are not allowed|not files)/, query)
            }
          }
          for (const query of writing) yield* text(engine, query)
          yield* text(engine, "INSERT INTO t SELECT a, 's' FROM s")
          assert.deepStrictEqual(yield* rows(engine, "SELECT count(*) AS n FROM t WHERE name = 's'"), [
            { n: 1 }
          ])
        })
      )
    })
  )

  it("is looked at in a time that grows with its length only", () => {
    for (const unit of ["'", '"', "(", "$a$", "/*", "--", "e'\\", "from '", "$"]) {
      Paths.mayBeRead(unit.repeat(256 * 1024))
      Paths.mayBeRead(unit + "x".repeat(1024 * 1024))
    }
  })
})
