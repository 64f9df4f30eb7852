/**
 * A network in memory that behaves as badly as TCP may, as a seed decides: late segments cut anywhere, stalls,
 * small buffers, half-closes and resets that overtake what was in flight.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Socket from "effect/socket/Socket"
import type { Random } from "./Random.ts"
import type { VirtualClock } from "./VirtualClock.ts"

/** What a network is like. Sizes are in bytes, times in milliseconds. */
export interface Conditions {
  /** The longest that a segment takes. */
  readonly latency: number
  /** How probable it is that a segment takes any time at all. */
  readonly late: number
  readonly segment: number
  /** What the sender's and the receiver's ends hold. */
  readonly sendBuffer: number
  readonly receiveBuffer: number
  /** How probable a stall is with each segment, and the longest that one lasts. */
  readonly stall: number
  readonly stallMillis: number
}

export interface Options {
  readonly random: Random
  readonly clock: VirtualClock
  readonly conditions: Conditions
  /** How long the first end takes, and throws away, what comes after it has closed, in milliseconds. */
  readonly linger: number
}

const closed = () => new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1000 }) })

const readReset = () =>
  new Socket.SocketError({ reason: new Socket.SocketReadError({ cause: new Error("read ECONNRESET") }) })

const notWritable = () =>
  new Socket.SocketError({ reason: new Socket.SocketWriteError({ cause: new Error("write EPIPE") }) })

/** One direction: what its sender has given and its receiver has not taken. */
class Direction {
  private readonly options: Options
  private readonly refused: () => void
  private readonly outbox: Array<Uint8Array> = []
  private outboxBytes = 0
  private inbox: Array<Uint8Array> = []
  private inboxBytes = 0
  private moving = false
  private sendError: (() => Socket.SocketError) | undefined
  private receiveError: (() => Socket.SocketError) | undefined
  private finished = false
  private lost = false
  private readerGone = false
  private readerLingers = false
  private writers: Array<() => void> = []
  private readers: Array<() => void> = []

  /** `refused` is called when bytes arrive that nobody will read. */
  constructor(options: Options, refused: () => void) {
    this.options = options
    this.refused = refused
  }

  get unread(): number {
    return this.inboxBytes
  }

  readonly write = (chunks: ReadonlyArray<Uint8Array | string>): Effect.Effect<void, Socket.SocketError> =>
    Effect.callback<void, Socket.SocketError>((resume) => {
      if (this.sendError !== undefined) return resume(Effect.fail(this.sendError()))
      for (const chunk of chunks) this.put(chunk as Uint8Array)
      this.move()
      const check = () => {
        if (this.lost) return resume(Effect.fail(notWritable()))
        if (this.outboxBytes > this.options.conditions.sendBuffer) return void this.writers.push(check)
        // Whoever has been told that a write is over may do with its bytes what he likes.
        this.outbox.forEach((bytes, index) => {
          this.outbox[index] = bytes.slice()
        })
        resume(Effect.void)
      }
      check()
    })

  readonly pull: Effect.Effect<NonEmptyReadonlyArray<Uint8Array>, Socket.SocketError> = Effect.callback(
    (resume) => {
      const check = () => {
        const [first, ...rest] = this.take()
        if (first !== undefined) return resume(Effect.succeed([first, ...rest]))
        if (this.receiveError !== undefined) return resume(Effect.fail(this.receiveError()))
        this.readers.push(check)
      }
      check()
      return Effect.sync(() => {
        this.readers = this.readers.filter((reader) => reader !== check)
      })
    }
  )

  /** Sends bytes of which nobody waits to have been written. */
  say(bytes: Uint8Array): void {
    this.put(bytes)
    this.move()
  }

  /** The sender sends nothing more; what it has sent arrives. */
  finish(): void {
    this.sendError ??= notWritable
    this.finished = true
    this.move()
  }

  /** The sender drops what has not left yet, and sends nothing more. */
  drop(): void {
    this.lost = true
    if (this.options.random.chance(0.5)) {
      this.outbox.length = 0
      this.outboxBytes = 0
    }
    this.finish()
    this.wakeWriters()
  }

  /** The receiver throws away what comes, for so long. */
  linger(millis: number): void {
    this.readerLingers = true
    this.receive(closed)
    this.options.clock.after(millis, () => this.abandon())
  }

  /** The receiver reads nothing more. */
  abandon(): void {
    this.readerGone = true
    this.receive(closed)
  }

  /** The connection is no more, and what is in flight is lost. */
  reset(): void {
    this.lost = true
    this.sendError = notWritable
    this.finished = false
    this.receive(readReset)
    this.outbox.length = 0
    this.wakeWriters()
    this.outboxBytes = 0
  }

  private receive(error: () => Socket.SocketError): void {
    // Bytes that nobody will see are no end in peace.
    if (error === readReset && this.inboxBytes > 0) this.receiveError = error
    this.inbox = []
    this.inboxBytes = 0
    this.receiveError ??= error
    this.wakeReaders()
  }

  private put(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.outbox.push(bytes)
    this.outboxBytes += bytes.length
  }

  private take(): Array<Uint8Array> {
    const { random } = this.options
    if (this.inboxBytes === 0) return []
    const count = random.chance(0.7) ? this.inbox.length : random.between(1, this.inbox.length)
    const taken = this.inbox.splice(0, count)
    for (const bytes of taken) this.inboxBytes -= bytes.length
    this.move()
    return taken
  }

  private wakeReaders(): void {
    const { readers } = this
    this.readers = []
    for (const reader of readers) reader()
  }

  private wakeWriters(): void {
    const { writers } = this
    this.writers = []
    for (const writer of writers) writer()
  }

  private get room(): number {
    return this.readerGone || this.readerLingers
      ? Number.POSITIVE_INFINITY
      : this.options.conditions.receiveBuffer - this.inboxBytes
  }

  /** Sends the next segment on its way, one at a time, so that they stay in order. */
  private move(): void {
    const { clock, conditions, random } = this.options
    if (this.moving || this.receiveError === readReset) return
    if (this.outboxBytes === 0 ? !this.finished : this.room <= 0) return
    this.moving = true
    const late = random.chance(conditions.late) ? random.between(0, conditions.latency) : 0
    const stall = random.chance(conditions.stall) ? random.between(0, conditions.stallMillis) : 0
    clock.after(late + stall, () => {
      this.moving = false
      this.arrive()
      this.move()
    })
  }

  private arrive(): void {
    if (this.receiveError === readReset) return
    if (this.outboxBytes === 0) {
      if (!this.finished) return
      this.finished = false
      this.receiveError ??= closed
      return void this.wakeReaders()
    }
    const segment = this.segment()
    if (this.readerGone) return void this.refused()
    if (this.readerLingers) return void this.wakeWriters()
    this.inbox.push(segment)
    this.inboxBytes += segment.length
    this.wakeReaders()
    this.wakeWriters()
  }

  private segment(): Uint8Array {
    const { conditions, random } = this.options
    const first = this.outbox[0] as Uint8Array
    const most = Math.min(first.length, conditions.segment, this.room)
    const size = random.chance(0.6) ? most : random.between(1, most)
    if (size === first.length) this.outbox.shift()
    else this.outbox[0] = first.subarray(size)
    this.outboxBytes -= size
    // Copied now and not before: a sender that changes bytes while it sends them is found out.
    return first.slice(0, size)
  }
}

/** One end of a connection, and what its owner may do to it without an Effect. */
export interface End {
  readonly socket: Socket.Socket
  readonly say: (bytes: Uint8Array) => void
  readonly halfClose: () => void
  readonly close: () => void
  readonly reset: () => void
}

const end = (options: Options, incoming: Direction, outgoing: Direction, linger: number): End => {
  const reset = () => {
    incoming.abandon()
    options.clock.after(options.random.between(0, options.conditions.latency), () => outgoing.reset())
    incoming.reset()
  }
  // As the system does it: a close that leaves bytes unread is a reset.
  const close = () => {
    const mayReset = incoming.unread > 0 && options.random.chance(0.5)
    if (mayReset && linger === 0) return reset()
    outgoing.finish()
    if (linger > 0) incoming.linger(linger)
    else incoming.abandon()
  }
  const destroy = () => {
    outgoing.drop()
    incoming.abandon()
  }
  const halfClose = () => outgoing.finish()
  const socket = Socket.make({
    reader: Effect.as(
      Effect.addFinalizer(() => Effect.sync(close)),
      { pull: incoming.pull, upgrade: Socket.SocketUpgradeError.unsupported }
    ),
    writer: Effect.as(
      Effect.addFinalizer(() => Effect.sync(halfClose)),
      {
        write: (chunk) => {
          if (!Socket.isCloseEvent(chunk)) return outgoing.write([chunk])
          return Effect.sync(chunk.code > 1000 ? reset : destroy)
        },
        writeAll: outgoing.write
      }
    )
  })
  const say = (bytes: Uint8Array) => outgoing.say(bytes)
  return { socket, say, halfClose, close, reset }
}

/** The two ends of a connection. */
export const connect = (options: Options): readonly [End, End] => {
  const { clock, conditions, random } = options
  // Bytes for an end that is gone are answered by a reset, which takes its time.
  const refused = () => {
    clock.after(random.between(0, conditions.latency), () => {
      forth.reset()
      back.reset()
    })
  }
  const forth: Direction = new Direction(options, refused)
  const back: Direction = new Direction(options, refused)
  return [end(options, back, forth, options.linger), end(options, forth, back, 0)]
}
