/**
 * A program that embeds a server, as a user would write it: on DuckDB or on a small engine, with settings from its
 * environment.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as DuckDbEngine from "../../src/engine/duckdb/DuckDbEngine.ts"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Server from "../../src/server/Server.ts"
import * as TinyEngine from "./TinyEngine.ts"

const engine =
  process.argv[2] === "duckdb"
    ? DuckDbEngine.layer({ sample: false })
    : Layer.succeed(QueryEngine, TinyEngine.make().engine)

const started = Layer.effectDiscard(Effect.logInfo("Started (signals end it)"))

started.pipe(
  Layer.provideMerge(Server.layerConfig),
  Layer.provide(engine),
  Server.stopsOnSecondSignal,
  Layer.launch,
  NodeRuntime.runMain
)
