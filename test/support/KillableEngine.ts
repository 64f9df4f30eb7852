/**
 * An engine that does to its process what a query says, as native code does by accident: the module that processes load.
 */
import { pbkdf2Sync } from "node:crypto"
import { threadId } from "node:worker_threads"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import type { Engine } from "../../src/engine/QueryEngine.ts"
import * as Chunk from "../../src/net/Chunk.ts"
import type { Host } from "../../src/process/EngineHost.ts"

export interface Options {
  /** A message of why it cannot start. */
  readonly fails?: string
  /** What it gives in place of an effect, or of an engine. */
  readonly makes?: "a Promise" | "no engine"
}

const encoder = new TextEncoder()
const block = encoder.encode(`${"0123456789abcdef".repeat(4095)}0123456789abcde\n`)

/** How queries end their process. */
export const killing: Readonly<Record<string, () => void>> = {
  segmentation: () => process.kill(process.pid, "SIGSEGV"),
  abort: () => process.abort(),
  bus: () => process.kill(process.pid, "SIGBUS"),
  arithmetic: () => process.kill(process.pid, "SIGFPE"),
  instruction: () => process.kill(process.pid, "SIGILL"),
  killed: () => process.kill(process.pid, "SIGKILL"),
  exit: () => process.exit(3),
  defect: () => {
    setImmediate(() => {
      throw new Error("a defect outside of every effect")
    })
  },
  heap: () => {
    const kept: Array<unknown> = []
    for (;;) kept.push(new Array(100_000).fill(kept.length))
  },
  memory: () => {
    const kept: Array<Uint8Array> = []
    try {
      for (;;) kept.push(new Uint8Array(256 * 1024 * 1024).fill(1))
    } catch {
      // Native code has nobody to catch it.
      process.abort()
    }
  }
}

/** How queries do not stop: in an effect, or by holding the event loop or the whole process. */
export const unstoppable: Readonly<Record<string, Effect.Effect<never>>> = {
  uninterruptible: Effect.uninterruptible(Effect.never),
  finalizer: Effect.onInterrupt(Effect.never, () => Effect.never),
  loop: Effect.sync((): never => {
    for (;;);
  }),
  sleep: Effect.sync((): never => {
    for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000_000)
  }),
  // For some seconds: nothing else ends it.
  native: Effect.sync(() => {
    pbkdf2Sync("password", "salt", 5_000_000, 64, "sha512")
    throw new Error("it has stopped")
  }),
  // For longer than anybody waits.
  forever: Effect.sync((): never => {
    pbkdf2Sync("password", "salt", 2 ** 31 - 1, 64, "sha512")
    throw new Error("it has stopped")
  }),
  // V8 unrolls it, and checks in none of its rounds whether it is to end.
  unrolled: Effect.sync((): never => {
    for (let length = 0; ; length++) new Array(1000).fill(length)
  }),
  stopped: Effect.andThen(
    Effect.sync(() => process.kill(process.pid, "SIGSTOP")),
    Effect.never
  )
}

/** Memory that nothing is written to, as what the C library keeps of blocks that were freed. */
const hoarded: Array<ArrayBufferLike> = []

const end = (how: string) => Effect.sync(() => killing[how]?.())

const chunks = (query: string): Stream.Stream<Uint8Array, QueryApi.QueryError> => {
  const [word = "", name = ""] = query.split(" ")
  switch (word) {
    case "blocks":
      return Stream.map(Stream.rechunk(Stream.range(1, Number(name)), 1), () =>
        Chunk.owned(block.slice(), () => {})
      )
    case "fail":
      return Stream.fail(QueryApi.queryError("execution_failed", "Division by zero"))
    case "partly":
      // The block is on its way by then.
      return Stream.concat(
        Stream.succeed(block),
        Stream.fromEffect(Effect.andThen(Effect.sleep(200), Effect.andThen(end(name), Effect.never)))
      )
    case "after":
      return Stream.fromEffect(unstoppable[name] ?? Effect.never)
    default:
      return Stream.succeed(encoder.encode(query))
  }
}

/** `kill HOW`, `stuck HOW`, `left`, `pid`, `thread`, `hoard BYTES`, `reject`, and what {@link chunks} knows; all else is echoed. */
export const make = (
  options: Options | undefined,
  host: Host
): Effect.Effect<Engine, QueryApi.QueryError> => {
  if (options?.makes === "a Promise") return Promise.reject(new Error("nobody waits for it")) as never
  if (options?.makes === "no engine") return Effect.succeed({} as Engine)
  if (options?.fails !== undefined) return Effect.fail(QueryApi.queryError("internal", options.fails))
  return Effect.succeed(
    QueryApi.makeEngine({
      formats: ["text/csv", "application/json"],
      run: ({ query }) => {
        const [word = "", name = ""] = query.split(" ")
        if (word === "reject") {
          return Effect.fail(QueryApi.queryError("syntax_error", "syntax error at or near", { position: 7 }))
        }
        if (word === "thread") return Effect.sync(() => ({ chunks: chunks(String(threadId)) }))
        if (word === "pid") return Effect.sync(() => ({ chunks: chunks(String(process.pid)) }))
        if (word === "hoard") {
          return Effect.sync(() => {
            hoarded.push(Buffer.allocUnsafeSlow(Number(name)).buffer)
            return { chunks: chunks(String(process.pid)) }
          })
        }
        if (word === "lose")
          return Effect.andThen(
            Effect.sync(() => host.lost("it is spoilt")),
            Effect.never
          )
        if (word === "left") {
          const left = Effect.onInterrupt(Effect.never, () => Effect.sync(host.cancelIgnored))
          return Effect.succeed({ chunks: Stream.concat(Stream.succeed(block), Stream.fromEffect(left)) })
        }
        const before =
          word === "kill"
            ? Effect.andThen(end(name), Effect.never)
            : word === "stuck"
              ? (unstoppable[name] ?? Effect.never)
              : Effect.void
        return Effect.map(before, () => ({ columns: [{ name: "a", type: "TEXT" }], chunks: chunks(query) }))
      }
    })
  )
}
