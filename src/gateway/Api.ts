/**
 * The HTTP API as a description, from which its OpenAPI document follows. A test compares it with the routes.
 */
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import * as QueryApi from "../engine/QueryApi.ts"
import * as Asked from "./Asked.ts"
import * as Negotiation from "./Negotiation.ts"

const text = (description: string) => Schema.optional(Schema.String.annotate({ description }))

/** Errors before the first byte of a result (RFC 9457). */
const Problem = Schema.Struct({
  type: Schema.String,
  title: Schema.String,
  status: Schema.Int,
  detail: Schema.String,
  code: Schema.String,
  retryable: Schema.Boolean,
  position: Schema.optional(Schema.Int),
  retryAfterMs: Schema.optional(Schema.Int),
  queryId: Schema.optional(Schema.String)
}).annotate({ identifier: "Problem", description: "What went wrong; position is 1-based, in the query." })

const problem = (status: number) =>
  Problem.pipe(
    HttpApiSchema.asJson({ contentType: "application/problem+json" }),
    HttpApiSchema.status(status)
  )

const problems = <const S extends ReadonlyArray<number>>(...statuses: S) => statuses.map(problem)

const shared = {
  format: text(`One of ${Negotiation.formatNames.join(", ")}; or else the Accept header decides`),
  target: text("The back-end, or a name that a rule gives to one"),
  conversation: text("Queries of one conversation go to the same address of a back-end"),
  queryId: text(`An id for the verdict and for cancelling, ${Asked.idForm}; made up if it is absent`),
  wait: Schema.optional(
    Schema.Literal("end").annotate({
      description: "Begins the response when the result has ended, if it is small"
    })
  )
}

const progress = Schema.optional(
  Schema.Boolean.annotate({ description: "The verdict of the query says how far it is while it runs" })
)

const QueryRequest = Schema.Struct({
  version: Schema.optional(Schema.Literal("v1")),
  query: Schema.NonEmptyString,
  parameters: Schema.optional(
    Schema.Union([Schema.Array(Schema.Unknown), Schema.Record(Schema.String, Schema.Unknown)])
  ),
  parameterTypes: Schema.optional(
    Schema.Unknown.annotate({
      description:
        "In the shape of parameters: blob, timestamp, double, decimal, bigint or hugeint for values that have this type"
    })
  ),
  numbers: Schema.optional(QueryApi.Numbers),
  timeoutMs: Schema.optional(Schema.Finite),
  receipt: Schema.optional(Schema.Boolean),
  progress,
  metadata: Schema.optional(Schema.Record(Schema.String, Schema.String)),
  ...shared
}).annotate({ identifier: "QueryRequest" })

const inUrl = {
  ...shared,
  timeoutMs: Schema.optional(Schema.Finite),
  receipt: Schema.optional(Schema.Boolean),
  progress,
  numbers: Schema.optional(Schema.String),
  traceparent: Schema.optional(Schema.String)
}

const results = HttpApiSchema.StreamUint8Array({ contentType: Object.values(Negotiation.formats) })

const queryErrors = problems(400, 401, 403, 404, 406, 409, 413, 415, 422, 429, 499, 500, 502, 503, 504)

const Verdict = Schema.Struct({
  queryId: Schema.String,
  state: Schema.Literals(["running", "complete", "failed", "cancelled"]),
  target: Schema.String,
  backend: Schema.String,
  address: Schema.optional(Schema.String),
  format: Schema.String,
  query: Schema.String,
  startedAt: Schema.String,
  durationMs: Schema.Finite,
  rows: Schema.optional(Schema.Int),
  bytes: Schema.Int,
  crc32: Schema.optional(Schema.String),
  progress: Schema.optional(
    Schema.Struct({
      fraction: Schema.optional(Schema.Finite),
      rowsProcessed: Schema.optional(Schema.Finite),
      totalRows: Schema.optional(Schema.Finite)
    })
  ),
  error: Schema.optional(
    Schema.Struct({ code: Schema.String, message: Schema.String, retryable: Schema.Boolean })
  )
}).annotate({ identifier: "Verdict" })

const Table = Schema.Struct({
  name: Schema.String,
  kind: Schema.Literals(["table", "view"]),
  columns: Schema.Array(Schema.Struct({ ...QueryApi.Column.fields, nullable: Schema.Boolean }))
})

const Catalog = Schema.Struct({
  targets: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      schemas: Schema.Array(
        Schema.Struct({ catalog: Schema.String, name: Schema.String, tables: Schema.Array(Table) })
      ),
      isComplete: Schema.Boolean,
      error: Schema.optional(Schema.Unknown)
    })
  )
})

const Targets = Schema.Struct({
  targets: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      backend: Schema.optional(Schema.String),
      addresses: Schema.Array(
        Schema.Struct({
          address: Schema.String,
          state: Schema.Literals(["up", "unknown", "ejected", "draining"]),
          inFlight: Schema.Int
        })
      )
    })
  )
})

const Status = Schema.Struct({ status: Schema.String })

const queries = HttpApiGroup.make("queries").add(
  HttpApiEndpoint.post("run", "/v1/query", {
    query: inUrl,
    payload: [QueryRequest, Schema.String.pipe(HttpApiSchema.asText({ contentType: "application/sql" }))],
    success: results,
    error: queryErrors
  }).annotate(
    OpenApi.Description,
    "Runs a query. Parameters in the URL are param.NAME or param.NAME:TYPE. A response that fails after its first byte is broken off."
  ),
  HttpApiEndpoint.get("read", "/v1/query", {
    query: { query: Schema.String, ...inUrl },
    success: results,
    error: queryErrors
  }).annotate(OpenApi.Description, "Runs a query that only reads."),
  HttpApiEndpoint.get("list", "/v1/queries", {
    success: Schema.Struct({ queries: Schema.Array(Verdict) }),
    error: problems(401, 403)
  }),
  HttpApiEndpoint.get("verdict", "/v1/queries/:id", {
    params: { id: Schema.String },
    success: Verdict,
    error: problems(400, 401, 403, 404, 410)
  }),
  HttpApiEndpoint.delete("cancel", "/v1/queries/:id", {
    params: { id: Schema.String },
    success: Verdict,
    error: problems(400, 401, 403, 404, 410)
  }).annotate(OpenApi.Description, "Cancels a query, and answers once it has ended at its back-end."),
  HttpApiEndpoint.get("stream", "/v1/stream", {
    success: HttpApiSchema.Empty(101),
    error: problems(400, 401, 403, 426)
  }).annotate(OpenApi.Description, "Becomes a WebSocket with the subprotocol dataconn.v1.")
)

const catalog = HttpApiGroup.make("catalog").add(
  HttpApiEndpoint.get("catalog", "/v1/catalog", {
    query: { target: Schema.optional(Schema.String) },
    success: Catalog,
    error: problems(401, 403, 404)
  }),
  HttpApiEndpoint.get("targets", "/v1/targets", { success: Targets, error: problems(401, 403) })
)

const service = HttpApiGroup.make("service").add(
  HttpApiEndpoint.get("health", "/healthz", { success: Status }),
  HttpApiEndpoint.get("ready", "/readyz", { success: Status, error: Status.pipe(HttpApiSchema.status(503)) }),
  HttpApiEndpoint.get("metrics", "/metrics", {
    success: Schema.String.pipe(HttpApiSchema.asText({ contentType: "text/plain" })),
    error: problems(401, 403)
  })
)

/** The API. */
export const api = HttpApi.make("dataconn")
  .add(queries, catalog, service)
  .annotateMerge(
    OpenApi.annotations({
      title: "DataConn gateway",
      version: "v1",
      description:
        "Streams query results over HTTP. GET /v1/stream is a WebSocket for several queries at once."
    })
  )

/** The OpenAPI document. */
export const document = (): OpenApi.OpenAPISpec => OpenApi.fromApi(api)
