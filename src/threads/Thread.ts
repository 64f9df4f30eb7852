/**
 * Starts the threads that engines run in. Each answers DataConn's protocol on connections through shared memory.
 */
import type { Worker } from "node:worker_threads"
import * as Effect from "effect/Effect"
import type * as Transport from "../net/Transport.ts"
import * as Cloning from "../process/Cloning.ts"
import * as Launcher from "../process/Launcher.ts"
import type { Exit } from "../process/Lifecycle.ts"
import * as Processes from "../process/Messages.ts"
import * as Output from "../process/Output.ts"
import type * as Messages from "./Messages.ts"
import type { ThreadPoolService } from "./ThreadPool.ts"
import * as ThreadTransport from "./ThreadTransport.ts"

/** What a thread is told first, but for its title. */
export interface Options extends Omit<Processes.Start, "_tag" | "title"> {
  readonly pool: ThreadPoolService
  readonly title: string
  readonly isKillable: boolean
}

/** The program of the thread, as source or compiled. */
const program = new URL(import.meta.url.replace(/Thread(\.[jt]s)$/, "EngineThread$1"))

/** How many bytes of requests are on their way to a thread before their writer waits: they are short. */
const requestsSize = 64 * 1024

/**
 * A thread that was to end and is not gone by then is in native code, and ends when that returns; nobody waits for it any
 * longer. In milliseconds.
 */
const goneMillis = 1000

export const launch =
  (options: Options): Launcher.Launch =>
  (place, listener) => {
    try {
      return new Thread(options, place, listener)
    } catch (cause) {
      return Launcher.unstarted(`${options.title} ${place}`, listener, Promise.reject(cause))
    }
  }

class Thread implements Launcher.Process {
  readonly name: string
  private readonly worker: Worker
  private readonly listener: Launcher.Listener
  private readonly isKillable: boolean
  private abandoning: NodeJS.Timeout | undefined
  private isOver = false
  private readonly taken = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)

  constructor({ isKillable, pool, title, ...start }: Options, place: number, listener: Launcher.Listener) {
    this.listener = listener
    this.isKillable = isKillable
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
    // What nobody has caught in the thread, or a limit of its memory.
    worker.once("error", (cause) => listener.failed(messageOf(cause)))
    worker.once("exit", (code) => this.over({ code, signal: null }))
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

  /** Node ends the process where a call of an addon returns to a thread that was ended: such a thread is only asked to. */
  kill(): void {
    if (this.isKillable) void this.worker.terminate()
    else this.ask()
    this.abandoning = setTimeout(() => this.over({ code: null, signal: null }), goneMillis)
    this.abandoning.unref()
  }

  private over(exit: Exit): void {
    clearTimeout(this.abandoning)
    if (this.isOver) return
    this.isOver = true
    this.listener.exited(exit)
  }
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))
