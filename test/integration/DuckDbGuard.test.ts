/**
 * What clients must not do, tried on the server with the real engine in each of its modes.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DuckDBInstance } from "@duckdb/node-api"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { DuckDbOptions } from "../../src/engine/duckdb/Database.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import * as DuckDbEngines from "../support/DuckDbEngines.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as Response from "../support/Response.ts"

const directory = Effect.acquireRelease(
  Effect.promise(async () => {
    const path = mkdtempSync(join(tmpdir(), "dataconn-test-"))
    writeFileSync(join(path, "a.csv"), "id,name\n1,one\n")
    const instance = await DuckDBInstance.create(join(path, "base.duckdb"))
    const connection = await instance.connect()
    await connection.run("CREATE TABLE stored AS SELECT 7 AS n; CHECKPOINT")
    connection.disconnectSync()
    instance.closeSync()
    return path
  }),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

const modes = (path: string): Readonly<Record<string, DuckDbOptions>> => {
  const database = join(path, "base.duckdb")
  const tables = { a: join(path, "a.csv") }
  return {
    "--sample": { sample: true },
    "--table": { tables },
    "--database": { database },
    "--table --database": { tables, database },
    "--read-write": { database, readWrite: true },
    "--read-write in memory": { readWrite: true, sample: true }
  }
}

/** Each is to be answered with a reject, and to leave everything as it was. */
const attacks = (path: string): ReadonlyArray<string> => [
  `EXPLAIN (ANALYZE a$$) COPY (SELECT 'x' AS x) TO '${join(path, "a.csv")}' (FORMAT csv, USE_TMP_FILE false) --$$) SELECT 1`,
  `EXPLAIN ANALYZE COPY (SELECT 'x' AS x) TO '${join(path, "a.csv")}' (FORMAT csv, USE_TMP_FILE false)`,
  `EXPLAIN (FORMAT json, ANALYZE) COPY (SELECT 1) TO '${join(path, "new.csv")}'`,
  `COPY (SELECT 1) TO '${join(path, "new.csv")}'`,
  "FROM enable_logging\u200b()",
  "FROM enable_logging\u2060()",
  "SELECT 1 AS a$$ FROM enable_logging() AS b$$",
  `FROM enable_logging(storage := 'file', storage_path := '${join(path, "log")}')`,
  "FROM duckdb_logs()",
  "FROM duckdb_logs",
  "FROM query\u200b('SELECT 1')",
  "FROM query_table('duckdb_logs')",
  "FROM json_execute_serialized_sql\u200b(json_serialize_sql('SELECT 1'))",
  "FROM sql_auto_complete('SEL')",
  "FROM check_peg_parser('SELECT 1')",
  "FROM enable_peg_parser()",
  "FROM enable_profiling()",
  "FROM force_checkpoint()",
  "CALL enable_logging()",
  "PRAGMA enable_profiling",
  "SELECT write_log('x')",
  "FROM duckdb_secrets()",
  "SELECT current_setting('temp_directory')",
  "SET threads = 1",
  "CHECKPOINT",
  "ATTACH ':memory:' AS m"
]

for (const mode of Object.keys(modes(""))) {
  describe(`a server with ${mode}`, () => {
    it.live("rejects what is not for clients, and goes on answering on the same connection", () =>
      Effect.gen(function* () {
        const path = yield* directory
        const engine = yield* DuckDbEngines.make(modes(path)[mode] ?? {})
        const live = yield* LiveServer.start(engine)
        const peer = yield* LiveServer.connect(live.address)
        const files = () => readdirSync(path).filter((name) => !name.endsWith(".wal"))
        const before = files()
        for (const query of attacks(path)) {
          yield* peer.request(JSON.stringify({ version: "v1", query }))
          const { accept, end } = yield* Response.take(peer)
          assert.isUndefined(accept, query)
          assert.strictEqual(end.slice(0, 1), "J", query)
          assert.strictEqual(QueryApi.decodeError(Buffer.from(end.slice(2))).code, "not_allowed", query)
        }
        assert.deepStrictEqual(files(), before)
        assert.strictEqual(readFileSync(join(path, "a.csv"), "utf8"), "id,name\n1,one\n")
        const other = yield* LiveServer.connect(live.address)
        for (const each of [peer, other]) {
          for (const format of QueryApi.Format.literals) {
            const request = JSON.stringify({ version: "v1", query: "SELECT get_type(1) AS a", format })
            assert.isNotEmpty(yield* Response.result(each, request))
          }
        }
      }).pipe(Effect.scoped)
    )
  })
}
