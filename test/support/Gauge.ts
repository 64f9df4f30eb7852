/**
 * Loaded into a server's process before its own code: `node --expose-gc --import Gauge.ts`. When asked by a
 * signal it writes what it finds as a line of JSON among those of the log.
 */
import { setImmediate } from "node:timers/promises"
import * as V8 from "node:v8"
import * as Effect from "effect/Effect"

/** What a process holds on to, however much memory its allocators keep. */
export interface Live {
  /** Objects of JavaScript. */
  readonly heapBytes: number
  /** The code that V8 has made of it, which it has on its heap too. */
  readonly codeBytes: number
  /** What they hold outside the heap: buffers, and what native code says that it holds. */
  readonly externalBytes: number
  readonly sockets: number
  readonly timers: number
}

export interface Reading {
  /** After SIGUSR2. */
  readonly live?: Live
  /** After SIGALRM, which takes the best part of a second: fibers that have not ended. */
  readonly fibers?: number
}

const tell = (reading: Reading) => console.log(JSON.stringify({ gauge: reading }))

const count = (name: RegExp) =>
  process.getActiveResourcesInfo().filter((resource) => name.test(resource)).length

/**
 * Spaces of V8's heap with nothing but code: bytecode, machine code, and what belongs to it. They grow for as long as
 * functions become busy enough to be optimised, which takes half an hour at a moderate load, and shrink when V8 drops
 * code that was not used. Code that is made without end is held by objects, which are in the others.
 */
const ofCode = /^(shared_)?(code|trusted)_/

const code = (): number =>
  V8.getHeapSpaceStatistics()
    .filter(({ space_name }) => ofCode.test(space_name))
    .reduce((sum, { space_used_size }) => sum + space_used_size, 0)

const live = async (): Promise<Live> => {
  // What is held by what is finalized is garbage only after that.
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.()
    await setImmediate()
  }
  const { external, heapUsed } = process.memoryUsage()
  const codeBytes = code()
  const sockets = count(/^(TCPSocket|Pipe)Wrap$/)
  let timers = 0
  // A timer that has just gone off is set again some turns of the event loop later.
  for (let i = 0; i < 10; i++) {
    timers = Math.max(timers, count(/^Timeout$/))
    await setImmediate()
  }
  return { heapBytes: heapUsed - codeBytes, codeBytes, externalBytes: external, sockets, timers }
}

const Fiber = Effect.runSync(Effect.withFiber(Effect.succeed)).constructor

// Node opens it on first use: not a socket that was left.
void process.stderr
process.on("SIGUSR2", async () => tell({ live: await live() }))
process.on("SIGALRM", () => tell({ fibers: V8.queryObjects(Fiber) as number }))
