/**
 * Starts the threads that engines run in. Each answers DataConn's protocol on connections through shared memory.
 */
import { setFlagsFromString } from "node:v8"
import type { Worker } from "node:worker_threads"
import * as Effect from "effect/Effect"
import type * as Transport from "../net/Transport.ts"
import * as Cloning from "../process/Cloning.ts"
import * as Launcher from "../process/Launcher.ts"
import type { Exit } from "../process/Lifecycle.ts"
import * as Processes from "../process/Messages.ts"
import * as Output from "../process/Output.ts"
import * as Program from "../process/Program.ts"
import type * as Messages from "./Messages.ts"
import { ThreadPoolError, type ThreadPoolService } from "./ThreadPool.ts"
import * as ThreadTransport from "./ThreadTransport.ts"

/** The fields of a thread's first message, without its title. */
export interface Options extends Omit<Processes.Start, "_tag" | "title" | "notes"> {
  readonly pool: ThreadPoolService
  readonly title: string
  readonly isKillable: boolean
}

/**
 * How many bytes of requests may be on their way to a thread before their writer waits: requests are short.
 */
const requestsSize = 64 * 1024

export const launch = (options: Options): Launcher.Launch => {
  if (options.isKillable) interruptLoops()
  return (place, listener, notes) => {
    try {
      return new Thread({ ...options, notes }, place, listener)
    } catch (cause) {
      const name = `${options.title} ${place}`
      return Launcher.unstarted(name, listener, Promise.reject(cause), cause instanceof ThreadPoolError)
    }
  }
}

/**
 * Makes V8 interrupt all loops. From some unrolled loops V8 drops the only check that can interrupt them,
 * such as `for (;;) new Array(1000).fill(1)`: neither `terminate` nor a full heap ends such a thread. The
 * flag applies to all threads of the process, for code compiled from now on. The price is in this
 * folder's README.
 */
const interruptLoops = (): void => setFlagsFromString("--no-turboshaft-loop-unrolling")

interface ThreadOptions extends Options {
  readonly notes: ReadonlyArray<unknown>
}

class Thread implements Launcher.Process {
  readonly name: string
  private readonly worker: Worker
  private readonly listener: Launcher.Listener
  private readonly pool: ThreadPoolService
  private readonly isKillable: boolean
  private isOutOfMemory = false
  private isOver = false
  private readonly taken = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)

  constructor(
    { isKillable, pool, title, ...start }: ThreadOptions,
    place: number,
    listener: Launcher.Listener
  ) {
    this.listener = listener
    this.pool = pool
    this.isKillable = isKillable
    const program = Program.beside(import.meta.url, "Thread", "EngineThread")
    this.worker = pool.start(program, { taken: this.taken, isKillable } satisfies Messages.WorkerData)
    this.name = `${title} ${place} (thread ${this.worker.threadId})`
    this.observe()
    try {
      this.tell({ ...start, _tag: "Start", title: `${title} ${place}` })
    } catch (cause) {
      setImmediate(() => listener.failed(Cloning.problem(start.options, cause)))
    }
  }

  private observe(): void {
    const { listener, worker } = this
    const counter = new Int32Array(this.taken)
    worker.on("message", (message: Messages.FromThread) => {
      Atomics.add(counter, 0, 1)
      Processes.tell(listener, message)
    })
    // An uncaught error of the thread, or the end by a limit of its memory.
    worker.once("error", (cause) => {
      if (codeOf(cause) === "ERR_WORKER_OUT_OF_MEMORY") this.isOutOfMemory = true
      else listener.failed(messageOf(cause))
    })
    worker.once("exit", (code) => this.over({ code, signal: null, isOutOfMemory: this.isOutOfMemory }))
    for (const output of [worker.stdout, worker.stderr]) Output.relay(output, listener)
  }

  private tell(message: Messages.ToThread): void {
    this.worker.postMessage(message, message._tag === "Connect" ? [message.end.port] : [])
  }

  readonly connection: Transport.Open = Effect.suspend(() => {
    const [near, far] = ThreadTransport.pair({ forth: requestsSize })
    this.tell({ _tag: "Connect", end: far })
    return ThreadTransport.open(near)
  })

  commit(token: number): void {
    this.tell({ _tag: "Commit", token })
  }

  ask(): void {
    this.tell({ _tag: "End" })
  }

  /**
   * If a call of an addon returns to a terminated thread, Node ends the process: such a thread is
   * only asked to end.
   */
  kill(): void {
    if (this.isKillable) void this.worker.terminate()
    else this.ask()
  }

  /** The thread is in native code, or in a loop that is not interrupted, and ends when that returns. */
  abandon(): void {
    if (this.isOver) return
    const { most, stuck } = this.pool.abandon(this.worker)
    this.listener.logged({
      level: "Error",
      message:
        `${this.name} was to end and still runs, in native code or in a loop that nothing interrupts; ` +
        `${stuck} such ${stuck === 1 ? "thread" : "threads"}, and none is started once there are ${most} in all`
    })
    this.over({ code: null, signal: null, isStuck: true })
  }

  private over(exit: Exit): void {
    if (this.isOver) return
    this.isOver = true
    this.listener.exited(exit)
  }
}

const codeOf = (cause: unknown): unknown => (cause as { readonly code?: unknown } | undefined)?.code

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))
