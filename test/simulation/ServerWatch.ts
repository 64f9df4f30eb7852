/**
 * What one server's connection may do to its socket and tell its listener: heartbeats in silence and only
 * there, no terminal message before the query's scope has closed, `K` after a cancel, one end with a reason that has a cause.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Socket from "effect/socket/Socket"
import type { ConnectionEvent } from "../../src/connection/ConnectionEvents.ts"
import type { Reference } from "./Reference.ts"
import type { Run } from "./Run.ts"
import type * as Scenario from "./Scenario.ts"
import type { Fate } from "./SimulatedEngine.ts"
import * as Wire from "./Wire.ts"

export interface Options {
  readonly run: Run
  readonly who: string
  readonly scenario: Scenario.Scenario
  readonly client: Scenario.Client
  readonly reference: Reference
  readonly fates: ReadonlyMap<number, Fate>
}

export class ServerWatch {
  private readonly options: Options
  private readonly reader: Wire.Reader
  private readonly requests: Wire.Reader
  private readonly interval: number
  private silentSince: number
  private writing = false
  private dropped = false
  private terminals = 0
  private asked = 0
  /** When the server has read the cancel of a response that was not over. */
  private cancelledAt: number | undefined
  private readonly events: Array<ConnectionEvent> = []

  constructor(options: Options) {
    this.options = options
    this.reader = new Wire.Reader(options.scenario.settings.lengthCounts)
    this.requests = new Wire.Reader(options.scenario.settings.lengthCounts)
    this.interval = Number(options.scenario.settings.heartbeatInterval)
    this.silentSince = options.run.now
  }

  /** The socket, with every write looked at. */
  tap(socket: Socket.Socket): Socket.Socket {
    return Socket.make({
      reader: Effect.map(socket.reader, (reader) => ({
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
            return Effect.onExit(writer.writeAll(chunks), () => Effect.sync(() => this.ended()))
          })
      }))
    })
  }

  publish(event: ConnectionEvent): Effect.Effect<void> {
    return Effect.sync(() => {
      this.events.push(event)
      const why = event._tag === "Closed" ? ` (${event.control.reason}: ${event.detail})` : ""
      this.options.run.tell(this.options.who, event._tag + why)
    })
  }

  /** `run` has returned. */
  returned(exit: Exit.Exit<unknown>): void {
    const interrupted = this.options.reference.drained && this.options.scenario.stop?.how === "interrupt"
    this.expect(exit._tag === "Success" || interrupted, `run ended in ${exit}`)
    const closed = this.events.filter((event) => event._tag === "Closed")
    const [last] = closed
    this.expect(closed.length === 1 && this.events.at(-1) === last, `${closed.length} Closed events`)
    if (last?._tag === "Closed") this.reason(last)
    this.accounted()
    const silence = this.options.run.now - this.silentSince
    // A connection that ends in peace has not been silent for too long either.
    this.expect(
      this.dropped || this.writing || interrupted || silence <= this.interval,
      `${silence} ms silent`
    )
  }

  /** Every request that was told of has one end, and the statistics count what was seen. */
  private accounted(): void {
    const count = (tag: ConnectionEvent["_tag"]) => this.events.filter((event) => event._tag === tag).length
    const ends =
      count("Completed") + count("Failed") + count("Rejected") + count("Cancelled") + count("Aborted")
    this.expect(ends === count("Request"), `${count("Request")} requests with ${ends} ends`)
  }

  private reason(closed: Extract<ConnectionEvent, { readonly _tag: "Closed" }>): void {
    const { client, reference } = this.options
    const { reason } = closed.control
    const inits = reference.exchanges.map(({ request }) => request.query.init)
    const allowed: Record<typeof reason, boolean> = {
      protocol: reference.violated,
      run: false,
      init: inits.some((init) => /failure|defect|interrupt/.test(init)),
      drain: reference.drained || client.refused,
      write: reference.left || /writeTimeout/.test(closed.detail),
      read: reference.left || /Timeout/.test(closed.detail)
    }
    this.expect(allowed[reason], `ended for no cause: ${reason} (${closed.detail})`)
  }

  private began(chunks: ReadonlyArray<Uint8Array>): void {
    const { run } = this.options
    // What comes after the socket was dropped reaches nobody.
    if (this.dropped) return
    const silence = run.now - this.silentSince
    this.expect(!this.writing, "two writes at once")
    this.expect(silence <= this.interval, `a write after ${silence} ms of silence`)
    this.writing = true
    for (const message of chunks.flatMap((chunk) => this.reader.push(chunk))) {
      if (message.type === "H") this.expect(silence >= this.interval, `H after ${silence} ms`)
      if ("IF".includes(message.type)) this.chunk(message)
      if ("JFEK".includes(message.type)) this.terminal(message)
    }
    this.expect(!this.reader.inside, "a write ends inside a frame")
  }

  /** The server has read these bytes. */
  private arrived(chunks: ReadonlyArray<Uint8Array>): void {
    const { reference, run } = this.options
    if (reference.violated) return
    for (const { type } of chunks.flatMap((chunk) => this.requests.push(chunk))) {
      // As many responses as requests have ended: the cancel is stale.
      if (type === "R") this.asked++
      else if (this.asked > this.terminals) this.cancelledAt = run.now
    }
  }

  private ended(): void {
    this.writing = false
    this.silentSince = this.options.run.now
  }

  private chunk({ body }: Wire.Message): void {
    const { fates, reference } = this.options
    const current = reference.exchanges[this.terminals]
    // Which request a response answers is not known any more once the client has broken the protocol.
    const size = reference.violated ? Number.POSITIVE_INFINITY : body.length
    for (const exchange of reference.violated ? reference.exchanges : [current]) {
      const fate = exchange === undefined ? undefined : fates.get(exchange.request.query.id)
      if (fate !== undefined) fate.written += size
    }
  }

  private terminal({ type }: Wire.Message): void {
    const { fates, reference } = this.options
    if (reference.violated) return
    const exchange = reference.exchanges[this.terminals++]
    // Whatever else was under way when the cancel came has had its turn by the next moment.
    const late = this.cancelledAt !== undefined && this.cancelledAt < this.options.run.now
    this.expect(!late || type === "K", `${type} although the cancel came before it`)
    this.cancelledAt = undefined
    if (exchange === undefined) return void this.expect(false, `${type} without a request`)
    const { id } = exchange.request.query
    this.expect(fates.get(id)?.open !== true, `${type} is written while query ${id} is open`)
  }

  private expect(condition: boolean, otherwise: string): void {
    if (!condition) this.options.run.wrong(this.options.who, otherwise)
  }
}
