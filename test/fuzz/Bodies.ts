/**
 * Bodies of requests: correct ones, wrong ones, and such as are made to hurt. And what the server must say to
 * each, after PROTOCOL.md §3.
 */
import * as fc from "fast-check"
import * as QueryApi from "../../src/engine/QueryApi.ts"

const encoder = new TextEncoder()

/** Computes without a row for much longer than its timeout. */
const silent = {
  version: "v1",
  query: "SELECT count(*) AS n FROM range(100000) a(i), range(100000) b(j) WHERE i * j % 7 = 3",
  timeoutMs: 300
}

const good = [
  "SELECT 42 AS answer",
  "SELECT * FROM trades",
  "SELECT * FROM quotes ORDER BY bid LIMIT 1000",
  "SELECT symbol, count(*) AS n FROM trades GROUP BY ALL ORDER BY ALL",
  "SELECT repeat('x', 500000) AS x FROM range(4)",
  "SHOW TABLES",
  "DESCRIBE trades"
] as const

const failing = [
  "SELEC 1",
  "SELECT * FROM nowhere",
  "SELECT nothing FROM trades",
  "SELECT 1; SELECT 2",
  ";;;",
  "--",
  "SELECT 1 /*",
  "CREATE TABLE t (i INTEGER)",
  "INSERT INTO trades SELECT * FROM trades",
  "DROP TABLE trades",
  "ATTACH '/tmp/x.db'",
  "COPY trades TO '/tmp/x.csv'",
  "SELECT * FROM read_csv('/etc/passwd')",
  "SET threads = 1",
  "BEGIN",
  "COMMIT",
  "ROLLBACK",
  "PRAGMA database_list",
  "CALL pragma_version()",
  "INSTALL httpfs",
  "SELECT CASE WHEN i = 150000 THEN error('late') ELSE i::VARCHAR END AS i FROM range(200000) t(i)",
  "SELECT CAST(symbol AS INTEGER) FROM trades",
  "SELECT $1 + $2",
  "SELECT $2 AS x"
] as const

/** SQL of which there is too much. */
const excessive = fc
  .nat({ max: 20_000 })
  .chain((n) =>
    fc.constantFrom(
      `SELECT ${"1+".repeat(n)}1 AS n`,
      `SELECT ${"(".repeat(n)}1${")".repeat(n)} AS n`,
      `SELECT ${"[".repeat(n)}1${"]".repeat(n)} AS n`,
      `SELECT 1 IN (${"1,".repeat(n)}1) AS n`,
      `SELECT 1 IN (${"?,".repeat(n)}1) AS n`,
      `SELECT ${"x".repeat(n)}`,
      `SELECT '${"é".repeat(n)}' AS n`,
      `${"SELECT 1;".repeat(n)}`,
      `${"SELECT 1 UNION ALL ".repeat(n % 300)}SELECT 1`,
      `SELECT ${"NOT ".repeat(n)}true AS n`,
      `${" \n".repeat(n)}SELECT 1 AS n`
    )
  )

const query = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...good) },
  { weight: 6, arbitrary: fc.constantFrom(...failing) },
  { weight: 2, arbitrary: excessive },
  { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 60 }) },
  {
    weight: 1,
    arbitrary: fc.string({ unit: "binary", maxLength: 20 }).map((text) => `SELECT '${text}' AS x`)
  }
)

const format = fc.constantFrom(...QueryApi.Format.literals)

const parameters = fc.oneof(
  fc.constant([]),
  fc.array(fc.jsonValue(), { maxLength: 3 }),
  fc.dictionary(fc.oneof(fc.string(), fc.constantFrom("1", "a", "__proto__")), fc.jsonValue(), { maxKeys: 3 })
)

const wellFormed = fc.record(
  {
    version: fc.constant("v1"),
    query,
    format,
    parameters,
    timeoutMs: fc.oneof(fc.integer({ min: 1, max: 2000 }), fc.constant(1e300)),
    queryId: fc.string({ unit: "binary", maxLength: 20 }),
    progress: fc.boolean(),
    traceparent: fc.oneof(
      fc.string(),
      fc.constant("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    ),
    unknown: fc.jsonValue({ maxDepth: 1 })
  },
  { requiredKeys: ["version", "query"] }
)

/** What a correct client asks, most of the time. */
const simple = fc.record({ version: fc.constant("v1"), query: fc.constantFrom(...good), format })

const anything = fc.jsonValue({ maxDepth: 1 })

const misshapen = fc.record(
  {
    version: fc.oneof(fc.constantFrom("v1", "v2", "", "V1"), anything),
    query: fc.oneof(fc.constantFrom("SELECT 1", ""), anything),
    format: fc.oneof(fc.constantFrom("text/csv", "text/html", "", "__proto__"), anything),
    parameters: anything,
    timeoutMs: fc.oneof(fc.constantFrom(0, -1), anything),
    queryId: anything,
    progressOf: fc.oneof(fc.constant("nobody's query"), fc.integer()),
    traceparent: anything
  },
  { requiredKeys: [] }
)

/** Asks how far a query is that nobody runs. */
const question = { version: "v1", query: "", progressOf: "nobody's query" }

/** JSON that is nested deeper than anybody would by hand. */
const bomb = fc
  .integer({ min: 1, max: 80_000 })
  .chain((n) =>
    fc.constantFrom(
      "[".repeat(n),
      '{"a":'.repeat(n),
      `${"[".repeat(n)}${"]".repeat(n)}`,
      `{"version":"v1","query":"SELECT $1 AS x","parameters":[${"[".repeat(n)}${"]".repeat(n)}]}`,
      `{"version":"v1","query":"SELECT 1 AS x","parameters":${'{"a":'.repeat(n)}1${"}".repeat(n)}}`,
      `{"version":"v1","query":"SELECT 1 AS x","unknown":${"[".repeat(n)}${"]".repeat(n)}}`,
      `{"version":"v1","query":${"[".repeat(n)}${"]".repeat(n)}}`
    )
  )

const text = fc.oneof(
  { weight: 10, arbitrary: simple.map((body) => JSON.stringify(body)) },
  { weight: 10, arbitrary: wellFormed.map((body) => JSON.stringify(body)) },
  { weight: 4, arbitrary: misshapen.map((body) => JSON.stringify(body)) },
  { weight: 1, arbitrary: fc.constant(JSON.stringify(silent)) },
  { weight: 1, arbitrary: fc.constant(JSON.stringify(question)) },
  { weight: 1, arbitrary: bomb },
  { weight: 1, arbitrary: fc.json() },
  { weight: 1, arbitrary: fc.string({ unit: "binary" }) }
)

/** Bytes that are changed, left out or put in at random places: no UTF-8, no JSON, or another query. */
const damaged = fc
  .tuple(
    text,
    fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 3 }),
    fc.nat()
  )
  .map(([whole, changes, length]) => {
    const bytes = encoder.encode(whole)
    for (const [at, byte] of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte
    return length % 3 === 0 ? bytes.subarray(0, length % (bytes.length + 1)) : bytes
  })

export const body: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 6, arbitrary: text.map((whole) => encoder.encode(whole)) },
  { weight: 1, arbitrary: damaged },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }) }
)

/** What the answer to a request must be: a reject with this code, or `undefined` where the engine decides. */
export const rejection = (bytes: Uint8Array): QueryApi.ErrorCode | undefined => {
  const request = parse(bytes)
  if (typeof request !== "object" || request === null || Array.isArray(request)) return "bad_request"
  const fields = request as Record<string, unknown>
  const { format, parameters, progressOf, query, queryId, timeoutMs, traceparent, version } = fields
  if (version === "v1" && query === "" && typeof progressOf === "string") return "not_found"
  if (typeof version === "string" && version !== "v1") return "unsupported_version"
  const formats: ReadonlyArray<unknown> = QueryApi.Format.literals
  if (typeof format === "string" && !formats.includes(format)) return "unsupported_format"
  const right =
    version === "v1" &&
    typeof query === "string" &&
    query !== "" &&
    (format === undefined || typeof format === "string") &&
    (parameters === undefined ||
      (typeof parameters === "object" && parameters !== null && depth(parameters) <= 64)) &&
    (timeoutMs === undefined || (Number.isFinite(timeoutMs) && Number(timeoutMs) > 0)) &&
    (queryId === undefined || typeof queryId === "string") &&
    (traceparent === undefined || typeof traceparent === "string")
  return right ? undefined : "bad_request"
}

/** Levels of lists and objects, counted without recursion. */
const depth = (value: unknown): number => {
  let levels = 0
  for (let level = [value]; ; levels++) {
    const inner = level.filter((each) => typeof each === "object" && each !== null)
    if (inner.length === 0) return levels
    level = inner.flatMap((each) => Object.values(each as object))
  }
}

const parse = (bytes: Uint8Array): unknown => {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes))
  } catch {
    return undefined
  }
}
