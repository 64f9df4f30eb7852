/** Which statements run alone, by their words. */
import { assert, describe, it } from "@effect/vitest"
import * as Change from "../../src/engine/duckdb/Change.ts"

describe("a statement", () => {
  it("alters, or runs alone if it reads its table or makes or drops an index, or makes a type in a schema", () => {
    const statements = {
      reads: [
        "FROM t",
        "(SELECT 1)",
        "WITH a AS (SELECT 1) FROM a",
        "-- INSERT\nSELECT 'CREATE INDEX'",
        "EXPLAIN FROM t"
      ],
      adds: [
        "INSERT INTO t VALUES (1)",
        'CREATE TABLE t("index" INTEGER PRIMARY KEY)',
        "CREATE TYPE a AS ENUM ('b')",
        "DROP TABLE t"
      ],
      writes: [
        "INSERT OR REPLACE INTO t VALUES (1)",
        "WITH a AS (SELECT 1) INSERT INTO t FROM a",
        "explain analyze delete from t",
        "TRUNCATE t"
      ],
      alters: ["ALTER TABLE s.t RENAME a TO b", "explain alter table t drop column a"],
      alone: [
        "CREATE INDEX i ON t(a)",
        " ;/* a */ create -- b\nUNIQUE index i ON t(a)",
        "CREATE /* /* a */ */ INDEX i ON t(a)",
        "DROP INDEX i",
        "ALTER TABLE t ADD PRIMARY KEY (a)",
        "ALTER TABLE t ALTER a TYPE INTEGER",
        "ALTER TABLE t ALTER a SET NOT NULL",
        "ALTER TABLE t RENAME COLUMN a.b TO c",
        "EXPLAIN ANALYZE CREATE INDEX i ON t(a)",
        "CREATE OR REPLACE TYPE s.a AS ENUM ('b')"
      ]
    }
    for (const [turn, texts] of Object.entries(statements)) {
      for (const sql of texts) assert.strictEqual(Change.of(sql).turn, turn, sql)
    }
  })
})
