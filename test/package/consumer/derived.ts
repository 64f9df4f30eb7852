/**
 * A module that names the package nowhere, and whose types are made of the package's all the same.
 */
import { Effect, Layer } from "effect"
import { engine } from "./duckdb.ts"
import { client, configured, events, pooled, responses, server } from "./service.ts"
import { answer, peer } from "./testing.ts"

export const served = server.pipe(Layer.provide(engine))
export const all = Layer.mergeAll(configured, client, pooled)
export const asked = Effect.all([answer, responses, peer])
export const published = Effect.map(events, (listener) => listener === undefined)
