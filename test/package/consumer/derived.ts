/**
 * A module that names the package nowhere, and whose types are made of the package's all the same.
 */
import { Effect, Layer } from "effect"
import { engine } from "./duckdb.ts"
import { client, configured, counts, events, pooled, responses, rows, server } from "./service.ts"
import { answer, peer } from "./testing.ts"

export const served = server.pipe(Layer.provide(engine))
export const all = Layer.mergeAll(configured, client, pooled)
export const asked = Effect.all([answer, responses, peer])
export const counted = Effect.all([counts, rows])
export const published = Effect.map(events, (listener) => listener === undefined)
