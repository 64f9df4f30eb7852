/**
 * V8's heap settings of a process that serves many clients.
 */
import { setFlagsFromString } from "node:v8"
import * as Effect from "effect/Effect"

/**
 * Makes V8 allocate all objects young, even where earlier ones of the same kind lived long. While a server
 * warms up, running queries are much of its small heap, and V8 takes their objects for long-lived. From then
 * on it allocates such objects old, and they retain the rest of their queries. With 64 clients of
 * `bench/servers/GatewayServer`, 6.9 KB of each small query survived a collection (`node --trace-gc`), and
 * 1.7 KB with this; the process took 0.61 to 0.95 of the user time in nine pairs of runs. With 1,000 clients
 * of `bench/servers/DataConnServer` the heap after a collection was 27 MB instead of 90 and growing, and a
 * small query took 18 to 21 µs of CPU time instead of 22 to 25.
 */
export const keepYoung: Effect.Effect<void> = Effect.sync(() =>
  setFlagsFromString("--no-allocation-site-pretenuring")
)
