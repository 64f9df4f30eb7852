/**
 * What the server may do to one connection and tell its listener: heartbeats in silence and only there, no
 * terminal message before the query's scope has closed, `K` after a cancel, one end with a reason that has a
 * cause.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Socket from "effect/socket/Socket"
import type { ConnectionEvent } from "../../src/server/ConnectionEvents.ts"
import { isClosing, type Reference } from "./Reference.ts"
import type { Run } from "./Run.ts"
import type * as Scenario from "./Scenario.ts"
import { type Asked, type Guest, idleTimes, latest, type ServerReference } from "./ServerReference.ts"
import type { Fate } from "./SimulatedEngine.ts"
import * as Wire from "./Wire.ts"

export interface Options {
  readonly run: Run
  readonly who: string
  readonly scenario: Scenario.Scenario
  readonly reference: Reference
  readonly server: ServerReference
  readonly fates: ReadonlyMap<number, Fate>
}

const decoder = new TextDecoder()

export class ServerWatch {
  readonly openedAt: number
  /** The requests that the server has read. */
  readonly asked: Array<Asked> = []
  /** When the server told of the connection's end. */
  closedAt: number | undefined
  /** Opens then, or when the connection is dropped unheard. */
  readonly ended = Latch.makeUnsafe(false)
  private readonly options: Options
  private readonly reader: Wire.Reader
  private readonly requests: Wire.Reader
  private readonly interval: number
  /** A heartbeat may come as much too early, to be written together with others, as it may come late. */
  private readonly soonest: number
  /** The longest silence: a heartbeat may come together with those of other connections, a little late. */
  private readonly longest: number
  private silentSince: number
  private writing = false
  private dropped = false
  private released = false
  private answers = 0
  /** It has said goodbye, although no request was to be answered that it had read. */
  private hasLeft = false
  /** When the last write may have begun, and whether it may go on: its last piece was as long as one may be. */
  private begunAt = 0
  private continues = false
  private readonly events: Array<ConnectionEvent> = []

  constructor(options: Options) {
    this.options = options
    this.reader = new Wire.Reader(options.scenario.settings.lengthCounts)
    this.requests = new Wire.Reader(options.scenario.settings.lengthCounts)
    this.interval = Number(options.scenario.settings.heartbeatInterval)
    this.longest = latest(this.interval)
    this.soonest = 2 * this.interval - this.longest
    this.openedAt = options.run.now
    this.silentSince = options.run.now
  }

  /** The request that is being answered, or was the last. */
  get current(): Asked | undefined {
    return this.asked.at(-1)
  }

  get isWriting(): boolean {
    return this.writing || this.continues
  }

  /** Whether the server has begun to let go of the socket. */
  get isOver(): boolean {
    return this.dropped || this.released
  }

  /** The socket, with every write looked at. */
  tap(socket: Socket.Socket): Socket.Socket {
    const release = () =>
      Effect.sync(() => {
        this.released = true
      })
    return Socket.make({
      reader: Effect.map(Effect.tap(socket.reader, Effect.addFinalizer(release)), (reader) => ({
        ...reader,
        pull: Effect.map(reader.pull, (chunks) => {
          this.arrived(chunks as ReadonlyArray<Uint8Array>)
          return chunks
        })
      })),
      writer: Effect.map(socket.writer, (writer) => ({
        write: (chunk) =>
          Effect.suspend(() => {
            if (Socket.isCloseEvent(chunk)) this.dropped = true
            return writer.write(chunk)
          }),
        writeAll: (chunks: NonEmptyReadonlyArray<Uint8Array | string>) =>
          Effect.suspend(() => {
            this.began(chunks as ReadonlyArray<Uint8Array>)
            return Effect.onExit(writer.writeAll(chunks), () => Effect.sync(() => this.wrote()))
          })
      }))
    })
  }

  publish(event: ConnectionEvent, guest: Guest): Effect.Effect<void> {
    return Effect.sync(() => {
      const { run, server, who } = this.options
      this.expect(this.closedAt === undefined, `${event._tag} after the end`)
      this.events.push(event)
      const why = event._tag === "Closed" ? ` (${event.control.reason}: ${event.detail})` : ""
      run.tell(who, event._tag + why)
      if (/Completed|Failed|Cancelled/.test(event._tag)) this.givenBack()
      if (event._tag === "Opened") server.is(guest, "served", "refused")
      if (event._tag === "Closed") this.closed(event, guest)
    })
  }

  private closed(event: Extract<ConnectionEvent, { readonly _tag: "Closed" }>, guest: Guest): void {
    const { run, server } = this.options
    this.closedAt = run.now
    this.ended.openUnsafe()
    this.reason(event, guest)
    this.accounted()
    const silence = run.now - this.silentSince
    // A connection that ends in peace has not been silent for too long either.
    const peaceful = !this.dropped && !this.writing && run.now < server.dropsAt
    this.expect(!peaceful || silence <= this.longest, `${silence} ms silent`)
  }

  /** All is over: whatever was written has arrived, unless somebody broke the connection. */
  settled(): void {
    const { reference } = this.options
    // A cancel that the server had no reason to read any more is one to the network.
    const broken = this.dropped || reference.lost || reference.current?.cancelled
    if (broken || reference.left || reference.violated) return
    const arrived = reference.exchanges.filter(({ terminal }) => terminal !== undefined).length
    const crossed = this.hasLeft && arrived === this.answers + 1
    this.expect(
      arrived === this.answers || crossed,
      `${this.answers} responses were written, ${arrived} arrived`
    )
    this.lost()
  }

  /** A server that closes in peace leaves nobody without an answer. */
  private lost(): void {
    const { reference, server } = this.options
    const last = this.events.at(-1)
    if (last?._tag !== "Closed" || (this.closedAt ?? 0) >= server.dropsAt) return
    if (last.control.reason !== "drain" && !/No request came/.test(last.detail)) return
    const { current } = reference
    this.expect(current === undefined || current.terminal !== undefined, "a request is lost")
    this.expect(reference.goodbye, "it leaves without a word")
  }

  /** The engine has got back every chunk of the response that was written last. */
  private givenBack(): void {
    const { fates, reference } = this.options
    const query = reference.exchanges[this.answers - 1]?.request.query.id
    const fate = query === undefined || reference.violated ? undefined : fates.get(query)
    if (fate === undefined) return
    this.expect(fate.released >= fate.written, `${fate.written - fate.released} bytes are not given back`)
  }

  /** Every request that was told of has one end, and the statistics count what was seen. */
  private accounted(): void {
    const count = (tag: ConnectionEvent["_tag"]) => this.events.filter((event) => event._tag === tag).length
    const ends =
      count("Completed") + count("Failed") + count("Rejected") + count("Cancelled") + count("Aborted")
    this.expect(ends === count("Request"), `${count("Request")} requests with ${ends} ends`)
  }

  private reason(closed: Extract<ConnectionEvent, { readonly _tag: "Closed" }>, guest: Guest): void {
    const { reference, run, server } = this.options
    const { reason } = closed.control
    const inits = reference.exchanges.map(({ request }) => request.query.init)
    const crowded = /Too many/.test(closed.detail)
    const allowed: Record<typeof reason, boolean> = {
      protocol: reference.violated,
      run: false,
      init: inits.some((init) => /failure/.test(init)),
      drain: crowded || run.now >= server.stopsAt,
      write: reference.left || /writeTimeout/.test(closed.detail),
      read: reference.left || /requestTimeout/.test(closed.detail) || this.wasIdle(closed.detail, guest)
    }
    this.expect(allowed[reason], `ended for no cause: ${reason} (${closed.detail})`)
    if (crowded) server.is(guest, "refused")
    if (reason === "drain" && run.now < server.dropsAt) this.cut(crowded)
  }

  /** Whether the connection was closed because no request had come for as long as it may. */
  private wasIdle(detail: string, guest: Guest): boolean {
    const { run, scenario } = this.options
    const limit = (isFirst: boolean) => Math.min(...idleTimes(guest, scenario, isFirst))
    // The last words of a connection may take their time, and the client may ask in the meantime.
    const unanswered = this.continues ? this.begunAt : Number.POSITIVE_INFINITY
    const began = [this.openedAt, ...this.asked.map(({ answeringAt }) => answeringAt ?? unanswered)]
    const waits = began.map((at, i) => (this.asked[i]?.at ?? run.now) - at)
    if (/firstRequestTimeout/.test(detail)) return (waits[0] ?? 0) >= limit(true)
    return /idleTimeout/.test(detail) && waits.some((wait, i) => wait >= limit(i === 0))
  }

  /** A server that closes in peace owes a response to nobody who has asked in time. */
  private cut(crowded: boolean): void {
    const { reference, server } = this.options
    const owed = this.asked[this.answers]
    if (owed === undefined || reference.violated || (crowded && this.answers > 0) || this.continues) return
    this.expect(owed.at >= server.stopsAt, `query ${owed.id} is cut off`)
  }

  private began(chunks: ReadonlyArray<Uint8Array>): void {
    const { run, scenario } = this.options
    const messages = chunks.flatMap((chunk) => this.reader.push(chunk))
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    if (!this.continues) this.begunAt = run.now
    this.continues = bytes === scenario.maxWriteSize
    for (const message of messages) if ("IF".includes(message.type)) this.chunk(message)
    // What comes after the socket was dropped reaches nobody.
    if (this.dropped) return
    const silence = run.now - this.silentSince
    this.expect(!this.writing, "two writes at once")
    this.expect(silence <= this.longest, `a write after ${silence} ms of silence`)
    this.writing = true
    for (const message of messages) {
      if (message.type === "H") this.expect(silence >= this.soonest, `H after ${silence} ms`)
      if ("JFEK".includes(message.type)) this.terminal(message, "J" === message.type && isClosing(message))
    }
    this.expect(bytes <= scenario.maxWriteSize, `a write of ${bytes} bytes`)
    this.expect(this.continues || !this.reader.inside, "a write ends inside a frame")
  }

  /** The server has read these bytes. */
  private arrived(chunks: ReadonlyArray<Uint8Array>): void {
    const { now } = this.options.run
    for (const { body, type } of chunks.flatMap((chunk) => this.requests.push(chunk))) {
      const { current } = this
      if (type === "R") {
        const id = body.length === 0 ? undefined : Number(decoder.decode(body))
        this.asked.push({
          id,
          at: now,
          cancelledAt: undefined,
          answeringAt: undefined,
          answeredAt: undefined
        })
      } else if (current !== undefined && current.answeredAt === undefined) current.cancelledAt = now
    }
  }

  private wrote(): void {
    this.writing = false
    this.silentSince = this.options.run.now
  }

  private chunk({ body }: Wire.Message): void {
    const { fates, reference } = this.options
    const current = reference.exchanges[this.answers]
    // Which request a response answers is not known any more once the client has broken the protocol.
    const size = reference.violated ? Number.POSITIVE_INFINITY : body.length
    for (const exchange of reference.violated ? reference.exchanges : [current]) {
      const fate = exchange === undefined ? undefined : fates.get(exchange.request.query.id)
      if (fate !== undefined) fate.written += size
    }
  }

  private terminal({ type }: Wire.Message, isGoodbye: boolean): void {
    const { fates, reference, run } = this.options
    if (isGoodbye && this.asked[this.answers] === undefined) {
      this.hasLeft = true
      return
    }
    const asked = this.asked[this.answers++]
    if (asked === undefined) return void this.expect(reference.violated, `${type} without a request`)
    asked.answeringAt = this.begunAt
    asked.answeredAt = run.now
    if (reference.violated) return
    // Whatever else was under way when the cancel came has had its turn by the next moment.
    const late = asked.cancelledAt !== undefined && asked.cancelledAt < this.begunAt
    this.expect(!late || type === "K", `${type} although the cancel came before it`)
    const fate = fates.get(asked.id ?? Number.NaN)
    const open = fate !== undefined && fate.endedAt === undefined
    this.expect(fate?.dropped !== true, `query ${asked.id} is given back what has not been written`)
    this.expect(!open, `${type} is written while query ${asked.id} is open`)
  }

  private expect(condition: boolean, otherwise: string): void {
    if (!condition) this.options.run.wrong(this.options.who, otherwise)
  }
}
