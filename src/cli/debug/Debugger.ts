/**
 * Performs the steps of a user or a script on a connection, shows its frames, and waits for
 * the expected ones.
 */
import { readFile } from "node:fs/promises"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Address from "../../net/Address.ts"
import * as Message from "../../protocol/Message.ts"
import * as Conversation from "../../recording/Conversation.ts"
import type { Event, Observer } from "../../recording/Observer.ts"
import * as Recorder from "../../recording/Recorder.ts"
import * as Recording from "../../recording/Recording.ts"
import type { Observe } from "../RecordFlags.ts"
import type { Style } from "../terminal/Style.ts"
import * as Wire from "../wire/Wire.ts"
import * as FrameView from "./FrameView.ts"
import * as Step from "./Step.ts"

/** A step failed, or the event that it waits for did not come. */
export class DebugError extends Schema.TaggedError<DebugError>()("DebugError", {
  problem: Schema.String
}) {
  override get message() {
    return this.problem
  }
}

const fail = (problem: string) => new DebugError({ problem })

export interface Options {
  readonly server: Address.Address
  readonly lengthCounts: Message.Options["lengthCounts"]
  readonly bodies: FrameView.Bodies
  /** Most bytes of a body that are shown. */
  readonly maxBytes: number
  readonly heartbeats: boolean
  /** How long a wait may take. */
  readonly patience: Duration.Duration
  readonly style: Style
  readonly print: (text: string) => void
  /** Another observer. */
  readonly observe: Observe | undefined
}

/** Least bytes of a body that are kept: they contain the code of a reject. */
const keptBytes = 64 * 1024

/** Most messages that may arrive before a step expects them. */
const maxUnexpected = 100_000

/** A received message of the server, in the form in which steps expect it. */
interface Came {
  readonly type: number | "closed"
  readonly code: string | undefined
}

const letter = (type: number | "closed"): string =>
  typeof type === "string" ? type : String.fromCharCode(type)

const text = ({ code, type }: Came): string => (code === undefined ? letter(type) : `${letter(type)} ${code}`)

const header: Recording.Header = { values: "kept", lengthCounts: "body" }

/** A debugger, over successive connections. */
export class Debugger {
  private readonly options: Options
  private readonly observe: Observe
  private readonly outer: Scope.Scope
  private bodies: FrameView.Bodies
  private heartbeats: boolean
  private wire: Wire.Wire | undefined
  private scope: Scope.Closeable | undefined
  private own: Observer | undefined
  private conversation = Conversation.make(0, 0)
  private came: Array<Came> = []
  private hasOverflown = false
  private readonly waiting = new Set<() => void>()

  private constructor(options: Options, outer: Scope.Scope, observe: (on: Recorder.Listener) => Observe) {
    this.options = options
    this.outer = outer
    this.bodies = options.bodies
    this.heartbeats = options.heartbeats
    this.observe = observe((event) => this.on(event))
  }

  /** A debugger without a connection. */
  static readonly make = (options: Options): Effect.Effect<Debugger, never, Scope.Scope> =>
    Effect.gen(function* () {
      let listener: Recorder.Listener = () => {}
      const { lengthCounts, maxBytes } = options
      const maxBodySize = Math.max(maxBytes, keptBytes)
      const observe = yield* Recorder.observers((event) => listener(event), { lengthCounts, maxBodySize })
      return new Debugger(options, yield* Effect.scope, (on) => {
        listener = on
        return observe
      })
    })

  /** Connects, after closing the connection before. */
  get connect(): Effect.Effect<void, Wire.WireError> {
    return Effect.gen({ self: this }, function* () {
      const { observe, server } = this.options
      yield* this.disconnect
      this.conversation = Conversation.make(0, 0)
      this.came = []
      const scope = yield* Scope.fork(this.outer)
      const place = { end: "client", peer: () => Address.format(server) } as const
      const watching = () => {
        this.own = this.observe(place)
        // Last, because its events may end the others.
        return [...(observe === undefined ? [] : [observe(place)]), this.own]
      }
      this.wire = yield* Wire.connect(server, watching).pipe(
        Scope.provide(scope),
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
      )
      this.scope = scope
    })
  }

  /** Closes the connection, if there is one. */
  get disconnect(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { scope } = this
      this.wire = undefined
      this.scope = undefined
      return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
    })
  }

  private on(event: Event): void {
    const isHeartbeat = event._tag === "Frame" && event.type === Message.Type.Heartbeat
    if (this.heartbeats || !isHeartbeat || event.from === "client") this.show(event)
    const entry = Recording.entry(event, header)
    Conversation.add(this.conversation, entry)
    if (!isHeartbeat && "from" in entry && entry.from === "server") this.arrived(entry)
    for (const look of this.waiting) look()
  }

  private show(event: Event): void {
    const { maxBytes, print, style } = this.options
    print(FrameView.show(event, { bodies: this.bodies, maxBytes, style }))
  }

  private arrived(entry: Exclude<Recording.Entry, { readonly _tag: "Opened" }>): void {
    if (this.came.length >= maxUnexpected) this.hasOverflown = true
    else if (entry._tag === "Ended") this.came.push({ type: "closed", code: undefined })
    else if (entry._tag === "Frame") this.came.push({ type: entry.type, code: codeOf(entry) })
  }

  private get hasEnded(): boolean {
    return this.conversation.endings.some(({ from }) => from === "server")
  }

  /** Waits until a condition holds. */
  private until(what: string, holds: () => boolean, patience = this.options.patience) {
    const wait = Effect.callback<void>((resume) => {
      const look = () => {
        if (holds()) resume(Effect.void)
      }
      this.waiting.add(look)
      look()
      return Effect.sync(() => this.waiting.delete(look))
    })
    const late = `${what} did not come within ${Duration.format(patience)} (--patience)`
    return Effect.timeoutOrElse(wait, {
      duration: patience,
      orElse: () => (holds() ? Effect.void : Effect.fail(fail(late)))
    })
  }

  /** Performs a step. */
  perform(step: Step.Step): Effect.Effect<void, DebugError | Wire.WireError> {
    switch (step._tag) {
      case "Frame":
        return Effect.flatMap(bodyOf(step.body), (body) =>
          this.send(Step.frameBytes(step, body, this.options.lengthCounts), step.pieces)
        )
      case "Send":
        return this.send(step.bytes, step.pieces)
      case "Await":
        return this.await(step.what)
      case "Expect":
        return this.expect(step)
      case "Sleep":
        return Effect.sleep(step.duration)
      case "Bodies":
        return Effect.sync(() => {
          this.bodies = step.bodies
        })
      case "Heartbeats":
        return Effect.sync(() => {
          this.heartbeats = step.shown
        })
      case "Connect":
        return this.connect
      case "Stay":
        return this.until("the end of the connection", () => this.hasEnded, Duration.infinity)
      case "StopReading":
        return this.withWire((wire) => wire.stopReading)
      case "ReadOn":
        return this.withWire((wire) => wire.readOn)
      case "HalfClose":
        return this.withWire((wire) => wire.halfClose)
      case "Reset":
        return this.withWire((wire) => wire.reset)
      case "Leave":
        return this.withWire((wire) => wire.close)
    }
  }

  private withWire(
    use: (wire: Wire.Wire) => Effect.Effect<void, DebugError>
  ): Effect.Effect<void, DebugError> {
    return Effect.suspend(() =>
      this.wire === undefined
        ? Effect.fail(fail("there is no connection; connect makes one"))
        : use(this.wire)
    )
  }

  private send(bytes: Uint8Array, pieces: Step.Pieces | undefined): Effect.Effect<void, DebugError> {
    const { patience } = this.options
    const stuck = `the server took no more of it within ${Duration.format(patience)} (--patience)`
    const sendOne = (wire: Wire.Wire, piece: Uint8Array) =>
      Effect.timeoutOrElse(wire.send(piece), {
        duration: patience,
        orElse: () => Effect.fail(fail(stuck))
      })
    return this.withWire((wire) =>
      wire.isWritable
        ? Effect.forEach(
            Step.cut(bytes, pieces),
            (piece, index) =>
              Effect.andThen(
                index === 0 ? Effect.void : Effect.sleep(pieces?.pause ?? Duration.zero),
                sendOne(wire, piece)
              ),
            { discard: true }
          )
        : Effect.fail(fail("the connection is closed; connect makes one"))
    ).pipe(Effect.andThen(Effect.sync(() => this.sayUnfinished())))
  }

  /** Shows an unfinished frame: others are shown when they are complete, which this one may never be. */
  private sayUnfinished(): void {
    const { print, style } = this.options
    const bytes = this.own?.unfinished ?? 0
    if (bytes > 0) print(style.dim(FrameView.unfinished(bytes)))
  }

  /** Waits for the answers to all requests, as long as the connection is read. */
  get settle(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const isAnswered = () =>
        this.wire?.isReading !== true || this.conversation.ends >= this.conversation.exchanges.length
      return Effect.ignore(this.until("the answers", isAnswered))
    })
  }

  private await(what: Step.Awaited): Effect.Effect<void, DebugError> {
    if (what === "closed") return this.until("the end of the connection", () => this.hasEnded)
    const holds = () => {
      const last = this.conversation.exchanges.at(-1)
      if (last === undefined) return true
      if (last.end !== undefined) return true
      return what === "accept" ? last.accept !== undefined : what === "data" && last.bytes > 0
    }
    const name = { accept: "the accept", data: "the first byte", terminal: "the end of the response" }[what]
    return Effect.andThen(
      this.until(name, () => holds() || this.hasEnded),
      Effect.suspend(() => (holds() ? Effect.void : Effect.fail(fail(`the server closed before ${name}`))))
    )
  }

  private expect(step: Extract<Step.Step, { readonly _tag: "Expect" }>): Effect.Effect<void, DebugError> {
    const wanted = text(step)
    return Effect.andThen(
      this.until(wanted, () => this.came.length > 0 || this.hasEnded),
      Effect.suspend(() => {
        if (this.hasOverflown) {
          return Effect.fail(fail(`more than ${maxUnexpected} messages came before ${wanted} was expected`))
        }
        const next = this.came.shift() ?? { type: "closed", code: undefined }
        const isWanted = next.type === step.type && (step.code === undefined || step.code === next.code)
        return isWanted ? Effect.void : Effect.fail(fail(`expected ${wanted}, but got ${text(next)}`))
      })
    )
  }
}

const codeOf = (entry: Extract<Recording.Entry, { readonly _tag: "Frame" }>): string | undefined => {
  if (entry.type !== Message.Type.Reject && entry.type !== Message.Type.Error) return undefined
  const code = Conversation.json(entry)?.["code"]
  return typeof code === "string" ? code : undefined
}

const bodyOf = (body: Step.Body): Effect.Effect<Uint8Array, DebugError> =>
  body._tag === "Given"
    ? Effect.succeed(body.bytes)
    : Effect.tryPromise({
        try: () => readFile(body.file),
        catch: (cause) => fail(`cannot read ${body.file}: ${(cause as Error).message}`)
      })
