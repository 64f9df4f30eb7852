/**
 * A program that embeds a server, as a user would write it: on DuckDB or on a small engine, with settings from its
 * environment, in a thread, or behind a gateway.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as DuckDbEngine from "../../src/engine/duckdb/DuckDbEngine.ts"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Gateway from "../../src/gateway/Gateway.ts"
import * as Server from "../../src/server/Server.ts"
import * as ThreadEngine from "../../src/threads/ThreadEngine.ts"
import * as ThreadPool from "../../src/threads/ThreadPool.ts"
import * as RowEngine from "../gateway/RowEngine.ts"
import * as TinyEngine from "./TinyEngine.ts"

const killable = { module: new URL("KillableEngine.ts", import.meta.url) }

const engines = {
  duckdb: DuckDbEngine.layer({ sample: false }),
  thread: ThreadEngine.layer(killable, { cancelGrace: "50 millis" }).pipe(
    Layer.provide(ThreadPool.layer({ threads: 1 })),
    Layer.orDie
  ),
  tiny: Layer.succeed(QueryEngine, TinyEngine.make().engine),
  gateway: Layer.succeed(QueryEngine, RowEngine.make().engine)
}

export type Kind = keyof typeof engines

const kind = process.argv[2] as Kind

const started = Layer.effectDiscard(Effect.logInfo("Started (signals end it)"))

const server = started.pipe(
  Layer.provideMerge(Server.layerConfig),
  Layer.provide(engines[kind]),
  Server.stopsOnSecondSignal
)

const gateway = Layer.unwrap(
  Effect.map(Server.Server, ({ connect }) =>
    Gateway.layer({
      http: ["127.0.0.1:0"],
      backends: { main: [{ name: "internal", connect }] },
      httpDrainTimeout: "1 hour"
    })
  )
).pipe(Layer.provideMerge(server), Gateway.stopsOnSecondSignal)

Layer.launch(kind === "gateway" ? gateway : server).pipe(NodeRuntime.runMain({ teardown: Server.teardown }))
