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
  `MERGE INTO t USING '${path}' s ON s.a = t.a WHEN MATCHED THEN DELETE`,
  `MERGE INTO "${path}" USING t ON true WHEN MATCHED THEN DELETE`,
  `UPDATE "${path}" SET a = 2`,
  `WITH x AS (SELECT 1) UPDATE "${path}" SET a = 2`,
  `DELETE FROM "${path}"`,
  `TRUNCATE "${path}"`,
  `TRUNCATE TABLE "${path}"`,
  `ANALYZE "${path}"`,
  `CREATE INDEX i ON "${path}" (a)`,
  `CREATE UNIQUE INDEX IF NOT EXISTS i ON "${path}" (a)`,
  `INSERT INTO t TABLE "${path}"`,
  `INSERT INTO t FROM main."${path}"`,
  `CREATE TABLE "${path}" AS FROM "${path}"`
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

describe("a query", () => {
  it.effect("may give its parts the names of files, and read them where they can be seen", () =>
    withEngine({}, (engine) =>
      Effect.gen(function* () {
        const part = 'WITH "a.csv" AS (SELECT 1 AS x, 2 AS y)'
        for (const query of [
          `${part} SELECT x FROM "A.csv"`,
          `${part} SELECT x FROM (WITH b AS (FROM "a.csv") FROM b)`,
          `${part}, "b/c" AS MATERIALIZED (FROM "a.csv") SELECT x FROM "b/c"`,
          `${part} SELECT (SELECT max(x) FROM "a.csv" UNION ALL SELECT 1 LIMIT 1) AS x`,
          `${part} PIVOT "a.csv" ON x IN (1) USING sum(y)`,
          `${part} SELECT 1 AS x FROM (SUMMARIZE "a.csv"), (DESCRIBE FROM "a.csv") LIMIT 1`,
          'WITH RECURSIVE "x.json" AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM "x.json" WHERE x < 3) FROM "x.json"'
        ]) {
          yield* text(engine, query)
        }
        for (const query of [
          'WITH "a.csv" AS (FROM "a.csv") FROM "a.csv"',
          'WITH b AS (FROM "a.csv"), "a.csv" AS (SELECT 1) FROM b',
          'WITH RECURSIVE "a.csv" AS (FROM "a.csv" UNION ALL SELECT 1) FROM "a.csv"',
          'WITH RECURSIVE "b.csv" AS (SELECT 1 AS x UNION ALL FROM "a.csv") FROM "b.csv"',
          'SELECT (WITH "a.csv" AS (SELECT 1) FROM "a.csv"), (SELECT 1 FROM "a.csv")',
          '(WITH "a.csv" AS (SELECT 1) FROM "a.csv") UNION ALL FROM "a.csv"',
          'WITH "ä.csv" AS (SELECT 1) FROM "Ä.csv"',
          'WITH "a.csv" AS (SELECT 1) FROM main."a.csv"',
          'SUMMARIZE "a.csv"'
        ]) {
          assert.include((yield* failure(engine, query)).message, "names tables, not files", query)
        }
      })
    )
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

  it.effect("names tables that are called like files", () =>
    withEngine({ readWrite: true }, (engine) =>
      Effect.gen(function* () {
        for (const query of [
          'CREATE TABLE "my.csv" (a INTEGER)',
          'CREATE OR REPLACE TABLE "My.csv" (a INTEGER)',
          'INSERT INTO "my.csv" VALUES (1)',
          'INSERT INTO "my.csv" SELECT a + 1 FROM "MY.csv"',
          'UPDATE "my.csv" SET a = 3 WHERE a = 2',
          'CREATE INDEX i ON "my.csv" (a)',
          "COMMENT ON TABLE \"my.csv\" IS 'x'",
          'CREATE VIEW "a/b" AS FROM "my.csv"',
          'ALTER TABLE "my.csv" ALTER a SET DEFAULT 7',
          'DELETE FROM "my.csv" WHERE a = 1'
        ]) {
          yield* text(engine, query)
        }
        assert.deepStrictEqual(yield* rows(engine, 'FROM "a/b" UNION ALL (FROM "my.CSV" LIMIT 0)'), [
          { a: 3 }
        ])
        assert.deepStrictEqual(yield* rows(engine, 'SELECT a FROM "my.csv"'), [{ a: 3 }])
        const { code } = yield* failure(engine, 'INSERT INTO "other.csv" VALUES (1)')
        assert.strictEqual(code, "not_found")
      })
    )
  )

  it("is looked at in a time that grows with its length only", () => {
    for (const unit of ["'", '"', "(", "$a$", "/*", "--", "e'\\", "from '", "$"]) {
      Paths.read(unit.repeat(256 * 1024))
      Paths.read(unit + "x".repeat(1024 * 1024))
    }
  })
})
