/**
 * A connection between two threads of a process: two queues in shared memory, and a port by which each end
 * wakes the other one. Bytes are copied once into the queue and once out of it, so that neither end holds
 * memory of the other.
 */
import { MessageChannel, type MessagePort } from "node:worker_threads"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Socket from "effect/socket/Socket"
import { ReadMemory } from "../net/ReadMemory.ts"
import type * as Transport from "../net/Transport.ts"
import * as SharedQueue from "./SharedQueue.ts"

/**
 * One end of a connection, for the thread that {@link open}s it. It can be posted to another thread, with
 * `port` in the transfer list.
 *
 * @category models
 * @since 0.1.0
 */
export interface End {
  readonly port: MessagePort
  readonly incoming: SharedArrayBuffer
  readonly outgoing: SharedArrayBuffer
}

/**
 * The capacity of each direction in bytes before its writer waits: powers of two.
 *
 * @category settings
 * @since 0.1.0
 */
export interface Options {
  /** From the first end to the second. Default 256 KiB. */
  readonly forth?: number | undefined
  /** From the second end to the first. Default 256 KiB. */
  readonly back?: number | undefined
}

const capacity = 256 * 1024

/** Bytes received in one turn of the event loop, before other connections have their turn. */
const turnSize = 256 * 1024

/**
 * The two ends of a new connection.
 *
 * @category constructors
 * @since 0.1.0
 */
export const pair = ({ back = capacity, forth = capacity }: Options = {}): readonly [End, End] => {
  const { port1, port2 } = new MessageChannel()
  const [there, here] = [SharedQueue.allocate(forth), SharedQueue.allocate(back)]
  return [
    { port: port1, incoming: here, outgoing: there },
    { port: port2, incoming: there, outgoing: here }
  ]
}

const failed = (reason: Socket.SocketError["reason"]) => new Socket.SocketError({ reason })
const closed = (code: number) => failed(new Socket.SocketCloseError({ code }))
const endOfFile = closed(1000)
const dropped = () => failed(new Socket.SocketReadError({ cause: new Error("the other end was dropped") }))
const notWritable = () => failed(new Socket.SocketWriteError({ cause: new Error("connection closed") }))

type Written = (exit: Exit.Exit<void, Socket.SocketError>) => void

class ThreadTransport implements Transport.Transport {
  private readonly port: MessagePort
  private readonly incoming: SharedQueue.SharedQueue
  private readonly outgoing: SharedQueue.SharedQueue
  private readonly memory = new ReadMemory()
  private receiver: Transport.Receiver | undefined
  private isPaused = false
  private isScheduled = false
  /** The other thread has closed its end, or has ended. */
  private isLost = false
  /** No more is written, except the rest that waits for room. */
  private isClosing = false
  private isClosed = false
  /** The parts that wait for room, and the callback of their write. */
  private rest: ReadonlyArray<Uint8Array> = []
  private written: Written | undefined

  constructor({ incoming, outgoing, port }: End) {
    this.port = port
    this.incoming = new SharedQueue.SharedQueue(incoming)
    this.outgoing = new SharedQueue.SharedQueue(outgoing)
    port.on("message", this.look)
    port.once("close", this.lost)
  }

  read(receiver: Transport.Receiver): void {
    this.receiver = receiver
    this.schedule()
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
    this.schedule()
  }

  write(parts: Transport.Chunks, written: Written): Exit.Exit<void, Socket.SocketError> | undefined {
    if (!this.isWritable) return Exit.fail(notWritable())
    this.rest = parts
    if (this.push()) return Exit.void
    this.written = written
    return undefined
  }

  destroy(): void {
    this.isPaused = false
    this.isLost = true
    this.leave("dropped")
    this.schedule()
    setImmediate(() => this.settle(Exit.fail(notWritable())))
  }

  unsent(): number {
    return this.rest.reduce((bytes, part) => bytes + part.length, this.outgoing.size)
  }

  /** Stops receiving; earlier writes are still passed on. */
  close(): void {
    this.receiver = undefined
    this.written = undefined
    this.isClosing = true
    this.incoming.abandon()
    if (this.rest.length === 0) this.leave("ended")
    else this.wake()
  }

  private get isWritable(): boolean {
    return !this.isClosing && !this.isClosed && !this.isLost && !this.outgoing.isAbandoned
  }

  private leave(how: "ended" | "dropped"): void {
    if (this.isClosed) return
    this.isClosed = true
    this.rest = []
    this.outgoing.end(how)
    this.incoming.abandon()
    this.wake()
    this.port.close()
  }

  /** Wakes the other end. */
  private wake(): void {
    this.port.postMessage(0)
  }

  private readonly look = (): void => {
    this.progress()
    this.hand()
  }

  private readonly lost = (): void => {
    this.isLost = true
    this.look()
  }

  private schedule(): void {
    if (this.isScheduled) return
    this.isScheduled = true
    setImmediate(this.turn)
  }

  private readonly turn = (): void => {
    this.isScheduled = false
    this.hand()
  }

  /** Resumes the writes that wait for room. */
  private progress(): void {
    if (this.rest.length === 0) return
    if (this.isLost || this.outgoing.isAbandoned) {
      this.rest = []
      if (this.isClosing) this.leave("dropped")
      this.settle(Exit.fail(notWritable()))
    } else if (this.push()) {
      if (this.isClosing) this.leave("ended")
      this.settle(Exit.void)
    }
  }

  /** Writes as much as there is room for. Returns whether that is all of it. */
  private push(): boolean {
    const { outgoing } = this
    for (;;) {
      const before = this.rest
      this.rest = remainder(before, (part) => outgoing.write(part))
      if (this.rest !== before && outgoing.wakesReader()) this.wake()
      if (this.rest.length === 0) return true
      outgoing.awaitRoom()
      // The reader may have made room before it could see the request.
      if (outgoing.room === 0 || outgoing.isAbandoned) return false
    }
  }

  private settle(exit: Exit.Exit<void, Socket.SocketError>): void {
    const { written } = this
    this.written = undefined
    written?.(exit)
  }

  /** Gives the receiver all available bytes, and then the end if the queue has ended. */
  private hand(): void {
    const { incoming, memory } = this
    let left = turnSize
    while (this.receiver !== undefined && !this.isPaused) {
      if (left <= 0) {
        this.schedule()
        return
      }
      // Read before the bytes: if the queue has ended by now, the bytes read next are all.
      const ending = incoming.ending
      const length = ending === "dropped" || this.isClosed ? 0 : incoming.read(memory.room())
      if (length > 0) {
        left -= length
        if (incoming.wakesWriter()) this.wake()
        this.receiver.received([memory.take(length)])
      } else if (ending !== "open" || this.isLost) {
        this.finish(ending)
      } else {
        incoming.awaitBytes()
        // The writer may have written before it could see the request.
        if (incoming.size === 0 && incoming.ending === "open") return
      }
    }
  }

  private finish(ending: SharedQueue.End): void {
    const { receiver } = this
    this.receiver = undefined
    const why = ending === "ended" ? endOfFile : ending === "dropped" ? dropped() : closed(1006)
    receiver?.ended(Cause.fail(why))
  }
}

/**
 * The parts that are left after `write` has taken as much of each as it can, up to the first one
 * not taken whole.
 */
const remainder = (
  parts: ReadonlyArray<Uint8Array>,
  write: (part: Uint8Array) => number
): ReadonlyArray<Uint8Array> => {
  for (const [index, part] of parts.entries()) {
    const length = write(part)
    if (length === part.length) continue
    return index === 0 && length === 0 ? parts : [part.subarray(length), ...parts.slice(index + 1)]
  }
  return []
}

/**
 * Opens one end of a connection in this thread. The scope owns it: closing the scope closes the connection
 * after all earlier writes. The end of the other thread closes it too.
 *
 * @category constructors
 * @since 0.1.0
 */
export const open = (end: End): Transport.Open =>
  Effect.acquireRelease(
    Effect.sync(() => new ThreadTransport(end)),
    (transport) => Effect.sync(() => transport.close())
  )
