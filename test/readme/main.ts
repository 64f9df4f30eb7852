import { NodeRuntime } from "@effect/platform-node"
import { Server } from "dataconn"
import { Layer } from "effect"
import { Ticks } from "./ticks.ts"

Server.layer({ listen: ["127.0.0.1:11653"] }).pipe(
  Layer.provide(Ticks),
  Server.stopsOnSecondSignal,
  Layer.launch,
  NodeRuntime.runMain({ teardown: Server.teardown })
)
