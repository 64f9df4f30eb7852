import { QueryApi, QueryEngine } from "dataconn"
import { Effect, Layer, Stream } from "effect"

const planets = ["Mercury", "Venus", "Earth"]

/** Knows one table, and gives it out as CSV: a row with the name of each planet that the parameter does not exclude. */
export const Planets = Layer.succeed(
  QueryEngine.QueryEngine,
  QueryApi.makeEngine({
    formats: ["text/csv"],
    run: ({ parameters, query }) =>
      query === "FROM planets"
        ? Effect.succeed({
            columns: [{ name: "name", type: "VARCHAR" }],
            chunks: Stream.fromIterable(["name", ...planets]).pipe(
              Stream.filter((name) => !Object.values(parameters).includes(name)),
              Stream.map((line) => `${line}\r\n`),
              Stream.encodeText
            )
          })
        : Effect.fail(QueryApi.queryError("not_found", "There are only planets", { position: 1 }))
  })
)
