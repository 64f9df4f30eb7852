/**
 * The load of one thread: the timing of requests, and their outcomes.
 */
import * as Zlib from "node:zlib"
import * as QueryApi from "../../engine/QueryApi.ts"
import type { Connection, End, Listener } from "./Connection.ts"
import { Tally } from "./Tally.ts"
import type { Kind, Task } from "./Task.ts"

/** The part of a connection that is used here. */
export type Line = Pick<Connection, "request" | "cancel">

/** A connection with its remaining work. */
interface Asker {
  readonly connection: Line
  readonly kind: number
  left: number
}

/**
 * Makes connections send requests until their time is over.
 *
 * **Details**
 *
 * In a closed loop, a connection sends the next request as soon as its response has ended. At a rate, the
 * n-th request is due at `n / rate`, independent of earlier ones, and is sent by the next free connection. If
 * none is free, it waits, and the wait counts in the corrected latency. Times are milliseconds of `now`.
 */
export class Driver {
  private readonly task: Task
  private readonly now: () => number
  private readonly free: Array<Asker> = []
  private tallies: Array<Tally> = []
  private startedAt = 0
  private stopped = false
  private sent = 0
  private inFlight = 0
  private working = 0
  private resolve: (() => void) | undefined

  constructor(task: Task, now: () => number) {
    this.task = task
    this.now = now
    this.reset()
  }

  private reset(): void {
    this.tallies = this.task.kinds.map(() => new Tally())
  }

  /** The counts since the last call, by kind. */
  flush(): ReadonlyArray<Tally> {
    const { tallies } = this
    this.reset()
    return tallies
  }

  tally(kind: number): Tally {
    return this.tallies[kind] as Tally
  }

  /** Begins with these connections, one for each of the task's. `done` is called once no work is left. */
  start(connections: ReadonlyArray<Line>, done: () => void): void {
    this.startedAt = this.now()
    this.resolve = done
    const askers = connections.map(
      (connection, index): Asker => ({
        connection,
        kind: this.task.connections[index] as number,
        left: this.task.requests
      })
    )
    for (const asker of askers) if (this.kindOf(asker).request !== undefined) this.free.push(asker)
    this.working = this.free.length
    this.tick()
  }

  /** Sends the requests that are due. Must be called repeatedly if there is a rate. */
  tick(): void {
    const { free } = this
    const { rate } = this.task
    let at = 0
    while (at < free.length && this.isOpen) {
      const intended = rate === undefined ? this.now() : this.startedAt + (this.sent * 1000) / rate
      if (intended > this.now()) break
      this.sent++
      this.ask(free[at++] as Asker, intended)
    }
    free.splice(0, at)
  }

  private get isOpen(): boolean {
    return !this.stopped && this.now() - this.startedAt < this.task.durationMillis
  }

  /** Stops sending. */
  stop(): void {
    if (!this.stopped) this.countUnsent()
    this.stopped = true
    this.settle()
  }

  /** Counts requests that were due while no connection was free. Their wait is in no latency. */
  private countUnsent(): void {
    const { durationMillis, rate } = this.task
    if (rate === undefined || this.working === 0) return
    const due = Math.floor((Math.min(this.now() - this.startedAt, durationMillis) * rate) / 1000)
    this.tally(0).counters.unsent += Math.max(0, due - this.sent)
  }

  /** Whether responses are outstanding. */
  get isBusy(): boolean {
    return this.inFlight > 0
  }

  /** Counts the responses that have not ended, and ends. */
  abandon(): void {
    this.tally(0).counters.unfinished += this.inFlight
    if (this.inFlight > 0) this.tally(0).errors.set("not ended in time", this.inFlight)
    this.inFlight = 0
    this.stop()
  }

  private settle(): void {
    const isOver = !this.isOpen || this.working === 0
    if (!isOver || this.inFlight > 0) return
    const { resolve } = this
    this.resolve = undefined
    resolve?.()
  }

  private kindOf(asker: Asker): Kind {
    return this.task.kinds[asker.kind] as Kind
  }

  private ask(asker: Asker, intendedAt: number): void {
    const kind = this.kindOf(asker)
    asker.left--
    this.inFlight++
    const response = new Response(kind, asker.connection, {
      now: this.now,
      intendedAt,
      tally: () => this.tally(asker.kind),
      over: (isLost) => this.over(asker, isLost)
    })
    asker.connection.request(kind.request as Uint8Array, response)
  }

  private over(asker: Asker, isLost: boolean): void {
    if (this.inFlight > 0) this.inFlight--
    if (isLost || asker.left <= 0) this.working--
    else if (this.task.rate === undefined && this.isOpen) this.ask(asker, this.now())
    else {
      this.free.push(asker)
      this.tick()
    }
    this.settle()
  }
}

interface Context {
  readonly now: () => number
  /** The time at which the request was due. */
  readonly intendedAt: number
  readonly tally: () => Tally
  readonly over: (isLost: boolean) => void
}

/** A counted response. */
class Response implements Listener {
  private readonly kind: Kind
  private readonly connection: Line
  private readonly context: Context
  private readonly sentAt: number
  private cancelledAt: number | undefined
  private bytes = 0
  private crc32 = 0

  constructor(kind: Kind, connection: Line, context: Context) {
    this.kind = kind
    this.connection = connection
    this.context = context
    this.sentAt = context.now()
  }

  accepted(): void {}

  chunk(bytes: Uint8Array): void {
    const tally = this.context.tally()
    if (this.bytes === 0) record(tally.histograms.firstByte, this.context.now() - this.sentAt)
    this.bytes += bytes.length
    tally.counters.bytes += bytes.length
    if (this.kind.expected?.crc32 !== undefined) this.crc32 = Zlib.crc32(bytes, this.crc32)
    if (this.kind.cancels === true && this.cancelledAt === undefined) {
      this.cancelledAt = this.context.now()
      this.connection.cancel()
    }
  }

  ended(end: End): void {
    this.count(end)
    this.context.over(end._tag === "Lost")
  }

  private count(end: End): void {
    const tally = this.context.tally()
    if (end._tag === "Rejected") tally.error("rejected", words(end.body))
    else if (end._tag === "Failed") tally.error("failed", words(end.body))
    else if (end._tag === "Lost") tally.error("lost", end.detail)
    else {
      const wrong = this.wrong(end)
      if (wrong === undefined) this.complete(tally)
      else tally.error("wrong", wrong)
    }
  }

  private wrong(end: End): string | undefined {
    const { cancels, expected } = this.kind
    // A cancel may come too late for a result that has been sent.
    if (cancels === true || expected === undefined || end._tag !== "Complete") return undefined
    if (this.bytes !== expected.bytes) {
      return `a result of ${this.bytes} bytes instead of ${expected.bytes}`
    }
    return expected.crc32 === undefined || expected.crc32 === this.crc32
      ? undefined
      : "a result with other bytes than expected"
  }

  private complete(tally: Tally): void {
    const now = this.context.now()
    tally.counters.complete++
    record(tally.histograms.raw, now - (this.cancelledAt ?? this.sentAt))
    record(tally.histograms.corrected, now - (this.cancelledAt ?? this.context.intendedAt))
  }
}

const record = (histogram: Tally["histograms"]["raw"], millis: number): void =>
  histogram.recordValue(Math.min(histogram.highestTrackableValue, Math.max(1, Math.round(millis * 1000))))

/** How much of an error distinguishes it from others, in UTF-16 units. */
const maxWords = 200

const words = (body: Uint8Array): string => {
  const { code, message } = QueryApi.decodeError(body)
  return `${code}: ${message}`.slice(0, maxWords)
}
