import { ThreadEngine, ThreadPool } from "dataconn"
import { Layer } from "effect"

export const Primes = ThreadEngine.layer({ module: new URL("./primes.ts", import.meta.url) }).pipe(
  Layer.provide(ThreadPool.layer({ threads: 2 }))
)
