/**
 * A client that does what the scenario says, by hand: it writes and reads bytes, and waits where it pleases.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import type { End } from "./Network.ts"
import type { Random } from "./Random.ts"
import type { Exchange, Reference } from "./Reference.ts"
import type { Run } from "./Run.ts"
import type * as Scenario from "./Scenario.ts"
import * as Wire from "./Wire.ts"

export interface Options {
  readonly run: Run
  readonly who: string
  readonly random: Random
  readonly settings: Scenario.Scenario["settings"]
  readonly client: Scenario.Client
  readonly reference: Reference
}

export class SimulatedClient {
  private readonly options: Options
  private readonly end: End
  /** Opens when a response, or the connection, ends. */
  private readonly ended = Latch.makeUnsafe(false)
  private over = false

  constructor(end: End, options: Options) {
    this.end = end
    this.options = options
  }

  /** Lives until the connection has ended for the client. */
  get live(): Effect.Effect<void, never, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const { client } = this.options
      const { pull } = yield* Effect.orDie(this.end.socket.reader)
      const writer = yield* this.end.socket.writer
      if (client.leavesEarly !== undefined) yield* Effect.forkScoped(this.leaveAt(client.leavesEarly))
      yield* Effect.forkScoped(this.act(writer))
      yield* this.read(pull as Effect.Effect<ReadonlyArray<Uint8Array>, Socket.SocketError>)
    })
  }

  /** Whether the connection has ended, or is about to. */
  private get isTold(): boolean {
    return this.over || this.options.reference.goodbye
  }

  private leaveAt({ at, how }: NonNullable<Scenario.Client["leavesEarly"]>): Effect.Effect<void> {
    return Effect.andThen(
      Effect.sleep(at),
      Effect.sync(() => this.leave(how))
    )
  }

  private leave(how: Scenario.Leaving): void {
    if (this.over) return
    this.options.reference.left = true
    this.options.run.tell(this.options.who, how)
    this.end[how]()
  }

  private read(pull: Effect.Effect<ReadonlyArray<Uint8Array>, Socket.SocketError>): Effect.Effect<void> {
    const { client, random, reference, run, settings, who } = this.options
    const reader = new Wire.Reader(settings.lengthCounts)
    return Effect.gen({ self: this }, function* () {
      while (true) {
        if (random.chance(client.pause)) yield* Effect.sleep(random.between(0, client.pauseMillis))
        for (const bytes of yield* pull) {
          for (const message of reader.push(bytes)) {
            run.tell(who, `<- ${Wire.show(message)}`)
            reference.received(message)
            if (reference.current?.terminal !== undefined || reference.goodbye) this.ended.openUnsafe()
          }
        }
      }
    }).pipe(
      Effect.catch((error) =>
        Effect.sync(() => {
          this.over = true
          reference.lost = error.reason._tag !== "SocketCloseError"
          this.ended.openUnsafe()
          run.tell(who, `sees ${error.reason._tag}${reader.inside ? " inside a frame" : ""}`)
        })
      )
    )
  }

  private act(writer: Socket.Writer): Effect.Effect<void> {
    const { client } = this.options
    return Effect.gen({ self: this }, function* () {
      for (const request of client.requests) {
        yield* Effect.sleep(request.thinking)
        if (request.violation === "early cancel") yield* this.violate(writer, "C")
        if (this.isTold) return
        const exchange = yield* this.request(writer, request)
        yield* this.awaitEnd(writer, exchange)
        if (this.isTold) return
      }
      if (client.leaving !== undefined) this.leave(client.leaving)
    }).pipe(Effect.ignore)
  }

  private request(
    writer: Socket.Writer,
    request: Scenario.Request
  ): Effect.Effect<Exchange, Socket.SocketError> {
    const { run, settings, who } = this.options
    const bytes = Wire.encode(settings.lengthCounts, "R", String(request.query.id))
    return Effect.gen({ self: this }, function* () {
      const { after, millis } = request.rest ?? { after: bytes.length, millis: 0 }
      // Whole or not, the request counts from its first byte.
      const exchange = this.options.reference.sent(request)
      this.ended.closeUnsafe()
      run.tell(who, `-> R ${request.query.id}`)
      yield* writer.write(bytes.subarray(0, after))
      if (millis > 0) {
        yield* Effect.sleep(millis)
        yield* writer.write(bytes.subarray(after))
      }
      return exchange
    })
  }

  private awaitEnd(writer: Socket.Writer, exchange: Exchange): Effect.Effect<void, Socket.SocketError> {
    const { cancelAfter, violation } = exchange.request
    return Effect.gen({ self: this }, function* () {
      if (violation === "second request") yield* this.violate(writer, "R")
      if (violation === "heartbeat") yield* this.violate(writer, "H")
      if (violation === "garbage") yield* this.violate(writer, "?")
      if (cancelAfter !== undefined) {
        yield* Effect.sleep(cancelAfter)
        if (this.over || exchange.terminal !== undefined) return
        exchange.cancelled = true
        yield* this.write(writer, "C")
        if (violation === "second cancel") yield* this.violate(writer, "C")
      }
      yield* this.ended.await
    })
  }

  private violate(writer: Socket.Writer, type: string): Effect.Effect<void, Socket.SocketError> {
    this.options.reference.violated = true
    return this.write(writer, type)
  }

  private write(writer: Socket.Writer, type: string): Effect.Effect<void, Socket.SocketError> {
    const { run, settings, who } = this.options
    run.tell(who, `-> ${type}`)
    return writer.write(Wire.encode(settings.lengthCounts, type, ""))
  }
}
