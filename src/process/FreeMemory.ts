/**
 * Makes the C library return free memory to the system. By itself the library keeps free memory between
 * blocks in use: a server that 600 clients had not read from kept 1.0 GB after they had left, of which
 * 180 MB were in use.
 */
import * as Effect from "effect/Effect"
import * as CLibrary from "./CLibrary.ts"

const every = "15 seconds"

/** By how many bytes the memory unknown to V8 must have grown to be worth a trim. */
const worthwhile = 64 * 1024 * 1024

/** The resident memory that is neither V8's heap nor that of its buffers. */
const unknown = (): number => {
  const { external, heapTotal, rss } = process.memoryUsage()
  return rss - heapTotal - external
}

/**
 * Returns memory repeatedly, whenever there may be much of it. Ends at once if the system has no
 * function for it.
 */
export const always: Effect.Effect<void> = Effect.suspend(() => {
  const trim = CLibrary.trim()
  if (trim === undefined) return Effect.void
  let known = unknown()
  let times = 0
  const look = Effect.sync(() => {
    // Twice: V8 counts buffers as freed before its own thread has freed them.
    if (unknown() - known >= worthwhile) times = 2
    if (times === 0) return
    times--
    trim()
    known = unknown()
  })
  return Effect.forever(Effect.andThen(Effect.sleep(every), look))
})
