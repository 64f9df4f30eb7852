/**
 * The HTTP API as a description, which generates its OpenAPI document. A test compares it with the routes.
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

const text = (description: string) => Schema.optionalKey(Schema.String.annotate({ description }))

/** Errors before the first byte of a result (RFC 9457). */
const Problem = Schema.Struct({
  type: Schema.String,
  title: Schema.String,
  status: Schema.Int,
  detail: Schema.String,
  code: Schema.String,
  retryable: Schema.Boolean,
  position: Schema.optionalKey(Schema.Int),
  retryAfterMs: Schema.optionalKey(Schema.Int),
  queryId: Schema.optionalKey(Schema.String)
}).annotate({ identifier: "Problem", description: "What went wrong; position is 1-based, in the query." })

const problem = (status: number) =>
  Problem.pipe(
    HttpApiSchema.asJson({ contentType: "application/problem+json" }),
    HttpApiSchema.status(status)
  )

/** Answers that each route may give to a request that is malformed, not meant for it, or excessive. */
const anywhere = [400, 405, 408, 413, 417, 421, 431, 500, 501, 503]

const problems = (...statuses: ReadonlyArray<number>) =>
  [...new Set([...anywhere, ...statuses])].sort((a, b) => a - b).map(problem)

const name = (description: string) =>
  Schema.optionalKey(
    Schema.NonEmptyString.check(Schema.isMaxLength(Asked.maxNameLength)).annotate({ description })
  )

const shared = {
  traceparent: text("A W3C trace context; the header of that name takes its place"),
  format: Schema.optionalKey(
    Schema.Literals(Negotiation.formatNames).annotate({ description: "Or else the Accept header decides" })
  ),
  target: name("The back-end, or a name that a rule gives to one"),
  conversation: name("Queries of one conversation go to the same address of a back-end"),
  queryId: Schema.optionalKey(
    Schema.String.check(Schema.isPattern(Asked.idPattern)).annotate({
      description: `An id for the verdict and for cancelling, ${Asked.idForm}; made up if it is absent`
    })
  ),
  wait: Schema.optionalKey(
    Schema.Literal("end").annotate({
      description: "Begins the response when the result has ended, if it is small"
    })
  )
}

const progress = Schema.optionalKey(
  Schema.Boolean.annotate({ description: "The verdict of the query says how far it is while it runs" })
)

const known = Schema.Struct({
  version: Schema.optionalKey(Schema.Literal("v1")),
  query: Schema.NonEmptyString,
  parameters: Schema.optionalKey(
    Schema.Union([Schema.Array(Schema.Unknown), Schema.Record(Schema.String, Schema.Unknown)])
  ),
  parameterTypes: Schema.optionalKey(
    Schema.Unknown.annotate({
      description:
        "In the shape of parameters: blob, timestamp, double, decimal, bigint or hugeint for values that have this type"
    })
  ),
  numbers: Schema.optionalKey(QueryApi.Numbers),
  timeoutMs: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThan(0))),
  receipt: Schema.optionalKey(Schema.Boolean),
  readOnly: Schema.optionalKey(Schema.Boolean),
  progress,
  metadata: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  ...shared
})

const QueryRequest = Schema.StructWithRest(known, [Schema.Record(Schema.String, Schema.Unknown)]).annotate({
  identifier: "QueryRequest",
  description: "Other fields go to the back-end as they are"
})

/** A number above 0 in a URL. */
const positive = /^(?=.*[1-9])\d*\.?\d+$/u

const inUrl = {
  ...shared,
  timeoutMs: Schema.optionalKey(Schema.String.check(Schema.isPattern(positive))),
  receipt: Schema.optionalKey(Schema.Boolean),
  progress,
  numbers: Schema.optionalKey(QueryApi.Numbers)
}

const results = HttpApiSchema.StreamUint8Array({ contentType: Object.values(Negotiation.formats) })

const queryErrors = problems(401, 403, 404, 406, 409, 415, 422, 429, 499, 502, 504)

/** An error within an answer. */
const QueryError = Schema.Struct({
  code: Schema.String,
  message: Schema.String,
  retryable: Schema.Boolean,
  position: Schema.optionalKey(Schema.Int),
  retryAfterMs: Schema.optionalKey(Schema.Int)
}).annotate({ identifier: "QueryError" })

const Verdict = Schema.Struct({
  queryId: Schema.String,
  state: Schema.Literals(["running", "complete", "failed", "cancelled"]),
  target: Schema.String,
  backend: Schema.String,
  address: Schema.optionalKey(Schema.String),
  format: Schema.String,
  query: Schema.String,
  startedAt: Schema.String,
  durationMs: Schema.Finite,
  rows: Schema.optionalKey(Schema.Int),
  bytes: Schema.Int,
  crc32: Schema.optionalKey(Schema.String),
  progress: Schema.optionalKey(
    Schema.Struct({
      fraction: Schema.optionalKey(Schema.Finite),
      rowsProcessed: Schema.optionalKey(Schema.Finite),
      totalRows: Schema.optionalKey(Schema.Finite)
    })
  ),
  error: Schema.optionalKey(QueryError)
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
      error: Schema.optionalKey(QueryError)
    })
  )
})

const Targets = Schema.Struct({
  targets: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      backend: Schema.optionalKey(Schema.String),
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

const inUrlToo = "Parameters in the URL are param.NAME or param.NAME:TYPE."

const queries = HttpApiGroup.make("queries").add(
  HttpApiEndpoint.post("run", "/v1/query", {
    query: inUrl,
    payload: [QueryRequest, Schema.String.pipe(HttpApiSchema.asText({ contentType: "application/sql" }))],
    success: results,
    error: queryErrors
  }).annotate(
    OpenApi.Description,
    `Runs a query. ${inUrlToo} A response that fails after its first byte is broken off.`
  ),
  HttpApiEndpoint.get("read", "/v1/query", {
    query: { query: Schema.NonEmptyString, ...inUrl },
    success: results,
    error: queryErrors
  }).annotate(OpenApi.Description, `Runs a query that only reads. ${inUrlToo}`),
  HttpApiEndpoint.get("list", "/v1/queries", {
    success: Schema.Struct({ queries: Schema.Array(Verdict) }),
    error: problems(401, 403)
  }),
  HttpApiEndpoint.get("verdict", "/v1/queries/:id", {
    params: { id: Schema.String },
    success: Verdict,
    error: problems(401, 403, 404, 410)
  }),
  HttpApiEndpoint.delete("cancel", "/v1/queries/:id", {
    params: { id: Schema.String },
    success: Verdict,
    error: problems(401, 403, 404, 410)
  }).annotate(OpenApi.Description, "Cancels a query, and answers once it has ended at its back-end."),
  HttpApiEndpoint.get("stream", "/v1/stream", {
    success: HttpApiSchema.Empty(101),
    error: problems(401, 403, 426)
  }).annotate(OpenApi.Description, "Becomes a WebSocket with the subprotocol dataconn.v1.")
)

const catalog = HttpApiGroup.make("catalog").add(
  HttpApiEndpoint.get("catalog", "/v1/catalog", {
    query: { target: Schema.optionalKey(Schema.String) },
    success: Catalog,
    error: problems(401, 403, 404)
  }),
  HttpApiEndpoint.get("targets", "/v1/targets", { success: Targets, error: problems(401, 403) })
)

const service = HttpApiGroup.make("service").add(
  HttpApiEndpoint.get("health", "/healthz", { success: Status, error: problems() }),
  HttpApiEndpoint.get("ready", "/readyz", {
    success: Status,
    error: [Status.pipe(HttpApiSchema.status(503)), ...problems()]
  }),
  HttpApiEndpoint.get("metrics", "/metrics", {
    success: Schema.String.pipe(HttpApiSchema.asText({ contentType: "text/plain" })),
    error: problems(401, 403)
  })
)

/** Effect's name for the schema of a problem with another status. */
const copied = /Problem_\d+/g

/** A token may be needed where a request may be unauthenticated; a gateway without tokens needs none. */
const security = (operation: OpenApi.OpenAPISpecOperation) =>
  401 in operation.responses ? [{ bearer: [] }, {}] : []

type Operations = Readonly<Record<string, OpenApi.OpenAPISpecOperation>>

/** The document with one schema for all problems, and with the routes that may need a token. */
const refined = (spec: Record<string, unknown>): OpenApi.OpenAPISpec => {
  const { components, paths, ...rest }: OpenApi.OpenAPISpec = JSON.parse(
    JSON.stringify(spec).replace(copied, "Problem")
  )
  for (const operations of Object.values(paths)) {
    for (const operation of Object.values(operations as Operations)) operation.security = security(operation)
  }
  const securitySchemes = {
    bearer: {
      type: "http",
      scheme: "bearer",
      description:
        "Where the gateway has httpTokens. For a WebSocket of a browser, the subprotocol dataconn.token. and the token in base64url take its place."
    }
  } as const
  return { ...rest, paths, components: { ...components, securitySchemes } }
}

/** The API. */
export const api = HttpApi.make("dataconn")
  .add(queries, catalog, service)
  .annotateMerge(
    OpenApi.annotations({
      title: "DataConn gateway",
      version: "v1",
      description:
        "Streams query results over HTTP. GET /v1/stream is a WebSocket for several queries at once.",
      transform: refined
    })
  )

/** The OpenAPI document. */
export const document = (): OpenApi.OpenAPISpec => OpenApi.fromApi(api)
