/**
 * Has the C library give free memory back to the system. By itself it keeps what lies between blocks that are in use: a
 * server that 600 clients had not read from kept 1.0 GB after they had left, of which 180 MB were in use.
 */
import * as Effect from "effect/Effect"
import * as CLibrary from "./CLibrary.ts"

const every = "15 seconds"

/** By so many bytes what V8 does not know of must have grown. */
const worthwhile = 64 * 1024 * 1024

/** The resident memory that is neither V8's heap nor that of its buffers. */
const unknown = (): number => {
  const { external, heapTotal, rss } = process.memoryUsage()
  return rss - heapTotal - external
}

/** Does so again and again, whenever there may be much of it. Ends at once where the system has no means for it. */
export const always: Effect.Effect<void> = Effect.suspend(() => {
  const trim = CLibrary.trim()
  if (trim === undefined) return Effect.void
  let known = unknown()
  let times = 0
  const look = Effect.sync(() => {
    // Twice: V8 counts buffers as gone before a thread of its own has freed them.
    if (unknown() - known >= worthwhile) times = 2
    if (times === 0) return
    times--
    trim()
    known = unknown()
  })
  return Effect.forever(Effect.andThen(Effect.sleep(every), look))
})
