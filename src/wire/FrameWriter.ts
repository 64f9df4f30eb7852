/**
 * The one way by which frames reach a socket.
 *
 * A write gathers its frames into one batch for the socket: small frames are copied into a contiguous
 * buffer, large bodies go out as they are. One write is under way at a time, so a frame is never split by
 * another, whichever fiber it comes from. A write that is longer than a piece of the {@link TurnBudget} goes out in
 * several, between which the event loop may turn, but nothing else is written.
 */
import { Buffer } from "node:buffer"
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { Scheduler } from "effect/Scheduler"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import * as Frame from "./Frame.ts"
import type * as Transport from "./Transport.ts"
import { type Budget, TurnBudget, type Waiter } from "./TurnBudget.ts"

/** The peer took no byte for `writeTimeout`; the socket has been destroyed. */
export class WriteTimeout extends Schema.TaggedError<WriteTimeout>()("WriteTimeout", {
  writeTimeoutMillis: Schema.Finite
}) {
  override get message() {
    return `Peer accepted no data for ${this.writeTimeoutMillis} ms (writeTimeout)`
  }
}

/** Why a write fails. After it the connection is of no more use. */
export type Failure = Socket.SocketError | WriteTimeout

/** A failure in the words of the system, where it has any. */
export const describe = (error: Failure): string => {
  if (error._tag === "WriteTimeout") return error.message
  const { reason } = error
  if (reason._tag === "SocketCloseError") return reason.code === 1000 ? "End of file" : "Connection closed"
  const cause = "cause" in reason ? reason.cause : undefined
  return cause instanceof Error ? firstMessage(cause) : reason.message
}

/** Connecting to a name with several addresses fails with an error for each and no message of its own. */
const firstMessage = (error: Error): string => {
  if (error.message !== "" || !(error instanceof AggregateError)) return error.message
  const messages = error.errors.map((each) => (each instanceof Error ? each.message : String(each)))
  return messages.join("; ")
}

export interface Options extends Frame.Options {
  /** How long the peer may take no byte while a write is under way, in milliseconds; may be `Infinity`. */
  readonly writeTimeoutMillis: number
}

/**
 * Something to be written: it waits in the writer's queue, at most once, until it has its turn.
 *
 * **Details**
 *
 * `take` is called when the turn has come, right before the first byte is handed over, `now` in milliseconds of
 * the Clock: the frames it returns precede all others from then on. Nothing is written if it returns none.
 * `started` is called when the socket has been handed the first of them, and `ended` once it has taken all, or has
 * failed to.
 *
 * `urgent` passes by those who wait for the thread's budget: for single small frames that somebody waits for,
 * such as the acknowledgement of a cancel.
 *
 * **Gotchas**
 *
 * `take` must not lead to another write on its own stack: this one has not begun yet.
 */
export interface Submission {
  readonly take: (now: number) => ReadonlyArray<Frame.Frame>
  readonly started?: (() => void) | undefined
  readonly ended: (exit: Exit.Exit<void, Failure>) => void
  readonly urgent?: boolean | undefined
}

export interface FrameWriter {
  /**
   * Writes frames one behind the other and waits until the socket has taken them; see {@link Submission}. Interruption
   * before the turn writes nothing; after it, it only ends the wait.
   */
  readonly write: (
    take: Submission["take"],
    options?: Pick<Submission, "urgent">
  ) => Effect.Effect<void, Failure>
  /** Writes as soon as the socket and the budget allow: often before this returns. */
  readonly submit: (submission: Submission) => void
  /** The same in the next turn of the event loop, together with what comes until then. */
  readonly submitSoon: (submission: Submission) => void
  /** Takes back what has not had its turn. */
  readonly withdraw: (submission: Submission) => void
  /** Waits until no write is under way. */
  readonly flushed: Effect.Effect<void>
  /** Drops the connection at once, with whatever was not sent yet. */
  readonly destroy: Effect.Effect<void>
  /** The timeout that ended the connection, if one did. The reader may hear of that end first. */
  readonly timedOut: () => WriteTimeout | undefined
  /** Whether nothing refers to the bodies of written frames any more. */
  readonly copies: boolean
  /** Whether a write is under way. */
  readonly isWriting: () => boolean
  /** When a write last began or ended, in milliseconds of the Clock. */
  readonly lastWriteAt: () => number
  readonly bytesWritten: () => number
  readonly messagesWritten: () => number
}

/** Bodies of up to this many bytes are copied beside their header rather than given to the socket apart. */
const inlineBodySize = 2048

const byteLength = (parts: Transport.Chunks): number => {
  let bytes = 0
  for (const part of parts) bytes += part.length
  return bytes
}

/** The first `size` bytes of parts that are longer, and the bytes behind. */
const cut = (parts: Transport.Chunks, size: number): readonly [Transport.Chunks, Transport.Chunks] => {
  const first: Array<Uint8Array> = []
  const rest: Array<Uint8Array> = []
  let left = size
  for (const part of parts) {
    if (left > 0) first.push(part.subarray(0, left))
    if (part.length > left) rest.push(part.subarray(left))
    left = Math.max(0, left - part.length)
  }
  return [first, rest] as unknown as readonly [Transport.Chunks, Transport.Chunks]
}

const bare: Record<Frame.Options["lengthCounts"], Array<Transport.Chunks>> = {
  body: [],
  typeAndBody: [],
  frame: []
}

/** A frame without a body, such as the heartbeats of thousands of connections: the same bytes every time. */
const bareFrame = (type: Frame.Type, options: Frame.Options): Transport.Chunks => {
  const known = bare[options.lengthCounts]
  const parts = known[type] ?? [Frame.header(options, type, 0)]
  known[type] = parts
  return parts
}

/** Lays frames out for one gather write. Large bodies of one type and length share their header. */
export const gather = (
  frames: Arr.NonEmptyReadonlyArray<Frame.Frame>,
  options: Frame.Options
): Transport.Chunks => {
  if (frames.length === 1 && frames[0].body.length === 0) return bareFrame(frames[0].type, options)
  let inline = 0
  for (const { body } of frames) {
    inline += Frame.headerSize + (body.length <= inlineBodySize ? body.length : 0)
  }
  const staging = Buffer.allocUnsafe(inline)
  const parts: Array<Uint8Array> = []
  let start = 0
  let end = 0
  let alone: { readonly header: Uint8Array; readonly type: Frame.Type; readonly length: number } | undefined
  for (const { body, type } of frames) {
    const { length } = body
    if (start === end && alone !== undefined && alone.type === type && alone.length === length) {
      parts.push(alone.header, body)
      continue
    }
    const headerStart = end
    end = Frame.headerInto(options, staging, end, type, length)
    if (length <= inlineBodySize) {
      staging.set(body, end)
      end += length
      continue
    }
    const header = staging.subarray(start, end)
    alone = start === headerStart ? { header, type, length } : undefined
    parts.push(header, body)
    start = end
  }
  if (start === 0) return [staging]
  if (start < end) parts.push(staging.subarray(start, end))
  return parts as unknown as Transport.Chunks
}

/** Makes the writer of a transport. The scope owns what it starts. */
export const make = Effect.fnUntraced(function* (
  transport: Transport.Transport,
  options: Options
): Effect.fn.Return<FrameWriter, never, Scope.Scope> {
  return new Writer({
    options,
    transport,
    scope: yield* Effect.scope,
    clock: yield* Clock.Clock,
    budget: yield* TurnBudget,
    context: yield* Effect.context<never>()
  })
})

interface Parts {
  readonly options: Options
  readonly transport: Transport.Transport
  readonly scope: Scope.Scope
  readonly clock: Clock.Clock
  readonly budget: Budget
  readonly context: Context.Context<never>
}

// Shared by all writers that nobody waits for: what each of thousands had of its own would have to come from memory
// for each write.
const nobody: ReadonlyArray<Submission> = []
const none: ReadonlyArray<() => void> = []

/** What is left of a write of which the socket has had the beginning. */
interface Rest {
  readonly submission: Submission
  readonly parts: Transport.Chunks
}

const isUrgent = (submission: Submission): boolean => submission.urgent === true

class Writer implements FrameWriter, Waiter {
  private readonly options: Options
  private readonly transport: Transport.Transport
  private readonly scope: Scope.Scope
  private readonly clock: Clock.Clock
  private readonly budget: Budget
  private readonly context: Context.Context<never>
  private readonly scheduler: Scheduler
  /** Whoever has the next turn, and those behind. */
  private first: Submission | undefined
  private queue = nobody
  private flushes = none
  private pumping = false
  waits = false
  behind: Waiter | undefined
  private current: Submission | undefined
  private rest: Rest | undefined
  private guarded = false
  /** What the transport held of the write under way when that began to wait. */
  private held = 0
  private writes = 0
  private lastAt: number
  private bytes = 0
  private messages = 0
  private timeout: WriteTimeout | undefined

  constructor(parts: Parts) {
    this.options = parts.options
    this.transport = parts.transport
    this.scope = parts.scope
    this.clock = parts.clock
    this.budget = parts.budget
    this.context = parts.context
    this.scheduler = Context.get(parts.context, Scheduler)
    this.lastAt = parts.clock.currentTimeMillisUnsafe()
  }

  get copies(): boolean {
    return this.transport.copies
  }
  isWriting(): boolean {
    return this.current !== undefined || this.rest !== undefined
  }
  timedOut(): WriteTimeout | undefined {
    return this.timeout
  }
  lastWriteAt(): number {
    return this.lastAt
  }
  bytesWritten(): number {
    return this.bytes
  }
  messagesWritten(): number {
    return this.messages
  }
  get flushed(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      if (!this.isWriting()) return resume(Effect.void)
      const flushed = () => resume(Effect.void)
      this.flushes = [...this.flushes, flushed]
      return Effect.sync(() => {
        this.flushes = this.flushes.filter((each) => each !== flushed)
      })
    })
  }
  get destroy(): Effect.Effect<void> {
    return Effect.sync(() => this.transport.destroy())
  }

  write(take: Submission["take"], options?: Pick<Submission, "urgent">): Effect.Effect<void, Failure> {
    return Effect.callback((resume) => {
      const submission: Submission = { take, ended: resume, urgent: options?.urgent }
      this.submit(submission)
      return Effect.sync(() => this.withdraw(submission))
    })
  }

  submit(submission: Submission): void {
    this.enqueue(submission)
    this.resume()
  }

  submitSoon(submission: Submission): void {
    this.enqueue(submission)
    // After a write that is under way the queue has its turn anyway.
    if (!this.isWriting()) this.budget.nextTurn(this, this.scheduler)
  }

  withdraw(submission: Submission): void {
    if (this.first === submission) {
      this.first = this.queue[0]
      if (this.first !== undefined) this.queue = this.queue.slice(1)
    } else if (this.queue.length > 0) {
      this.queue = this.queue.filter((each) => each !== submission)
    }
  }

  private enqueue(submission: Submission): void {
    if (this.first === undefined) this.first = submission
    else if (this.first !== submission && !this.queue.includes(submission))
      this.queue = [...this.queue, submission]
  }

  /** Writes what waits, for as long as the socket takes it and the writer's share of the budget lasts. */
  resume(): void {
    // Whoever submits from within a write is served by the loop that is under way.
    if (this.pumping) return
    this.pumping = true
    const before = this.bytes
    while (this.current === undefined) {
      const submission = this.next(this.bytes - before)
      if (submission === undefined) break
      if (this.rest === undefined) this.begin(submission)
      else this.hand(submission, this.rest.parts, this.clock.currentTimeMillisUnsafe())
    }
    this.pumping = false
  }

  /** Whose bytes are next. Nothing comes between the pieces of one write, but what is urgent hurries them on. */
  private next(written: number): Submission | undefined {
    const { budget, first, rest } = this
    if (first === undefined && rest === undefined) return undefined
    const isFree = !budget.exhausted && written < budget.share
    const next = isFree ? (rest?.submission ?? first) : this.urgent
    if (next === undefined) {
      budget.giveWay(this, this.scheduler)
      return undefined
    }
    if (rest !== undefined) return rest.submission
    this.withdraw(next)
    return next
  }

  private get urgent(): Submission | undefined {
    const { first } = this
    return first !== undefined && isUrgent(first) ? first : this.queue.find(isUrgent)
  }

  private begin(submission: Submission): void {
    if (this.timeout !== undefined) {
      submission.ended(Exit.fail(this.timeout))
      return
    }
    const now = this.clock.currentTimeMillisUnsafe()
    let parts: Transport.Chunks | undefined
    try {
      parts = this.layOut(submission.take(now))
    } catch (defect) {
      submission.ended(Exit.die(defect))
      return
    }
    if (parts === undefined) submission.ended(Exit.void)
    else this.hand(submission, parts, now)
  }

  /** The parts of one gather write, if there is something to write. */
  private layOut(frames: ReadonlyArray<Frame.Frame>): Transport.Chunks | undefined {
    if (!Arr.isReadonlyArrayNonEmpty(frames)) return undefined
    const parts = gather(frames, this.options)
    this.messages += frames.length
    return parts
  }

  /** Hands the socket as much as it should have at once. */
  private hand(submission: Submission, parts: Transport.Chunks, now: number): void {
    const { budget, transport } = this
    let piece = parts
    let bytes = byteLength(parts)
    const isFirst = this.rest === undefined
    this.rest = undefined
    if (bytes > budget.pieceSize) {
      const [head, tail] = cut(parts, budget.pieceSize)
      piece = head
      bytes = budget.pieceSize
      this.rest = { submission, parts: tail }
    }
    this.writes++
    this.current = submission
    this.lastAt = now
    this.bytes += bytes
    budget.spend(bytes)
    const exit = transport.write(piece, this.onWritten)
    if (isFirst) submission.started?.()
    if (exit !== undefined) {
      this.end(exit)
    } else {
      this.whenBlocked()
    }
  }

  private readonly onWritten = (exit: Exit.Exit<void, Socket.SocketError>): void => {
    this.lastAt = this.clock.currentTimeMillisUnsafe()
    this.end(exit)
    this.resume()
  }

  private end(exit: Exit.Exit<void, Socket.SocketError>): void {
    const submission = this.current
    this.current = undefined
    if (this.rest !== undefined && Exit.isSuccess(exit)) return
    this.rest = undefined
    const { flushes } = this
    this.flushes = none
    for (const flushed of flushes) flushed()
    submission?.ended(this.timeout !== undefined && Exit.isFailure(exit) ? Exit.fail(this.timeout) : exit)
  }

  private whenBlocked(): void {
    const { context, options, scope, transport } = this
    this.held = transport.unsent()
    if (this.guarded || options.writeTimeoutMillis === Number.POSITIVE_INFINITY) return
    this.guarded = true
    Fiber.runIn(Effect.runForkWith(context)(this.guard()), scope)
  }

  // One sleeping fiber for as long as the peer keeps writes waiting, rather than a timer for each of them.
  private guard(): Effect.Effect<void> {
    const { clock, options, transport } = this
    return Effect.gen({ self: this }, function* () {
      let write = -1
      let unsent = 0
      let deadline = 0
      while (this.current !== undefined) {
        const now = clock.currentTimeMillisUnsafe()
        const pending = transport.unsent()
        if (write !== this.writes) {
          // Of a write that began since the last look it is not known when the peer took what it has taken.
          deadline = (pending === this.held ? this.lastAt : now) + options.writeTimeoutMillis
        } else if (pending !== unsent) {
          deadline = now + options.writeTimeoutMillis
        } else if (now >= deadline) {
          this.timeout = new WriteTimeout({ writeTimeoutMillis: options.writeTimeoutMillis })
          transport.destroy()
          break
        }
        write = this.writes
        unsent = pending
        yield* Effect.sleep(deadline - now)
        // After a busy stretch timers run before sockets are written: what the peer has taken meanwhile counts.
        yield* Effect.yieldNow
      }
      this.guarded = false
    })
  }
}
