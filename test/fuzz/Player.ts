/**
 * Plays one client's script against a server, on a socket of its own, and says what the server did wrong.
 */
import * as Net from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Address from "../../src/net/Address.ts"
import * as Message from "../../src/protocol/Message.ts"
import { Judge } from "./Judge.ts"
import * as Script from "./Script.ts"

export interface Server {
  readonly tcp: Address.Address
  readonly unix: Address.Address
}

/** Limits of the server that scripts run into, in milliseconds. */
export const requestTimeoutMillis = 4_000
export const writeTimeoutMillis = 2_000
export const queryTimeoutMillis = 5_000

/** How long a client waits for what need not come, and for what must. */
const patienceMillis = 1_000
const limitMillis = 20_000

const lastRequest = new TextEncoder().encode('{"version":"v1","query":"SELECT 42 AS answer"}')
const lastFrame = Message.encode(Message.make(Message.Type.Request, lastRequest))

/** A socket whose events wake whoever waits. */
class Line {
  readonly socket: Net.Socket
  isOpen = true
  /** When the first byte of a frame was sent whose last one was not. */
  private partialSince = Number.POSITIVE_INFINITY
  /** Whether a frame took about as long as the server waits for one; its clock may be ahead of this one. */
  private wasLate = false
  reads = true
  readonly judge: Judge
  private readonly waiting = new Set<() => void>()
  private readonly decoder = Message.codec({
    lengthCounts: "body",
    maxFrameSize: Number.POSITIVE_INFINITY
  }).makeDecoder()

  constructor(socket: Net.Socket, judge: Judge) {
    this.socket = socket
    this.judge = judge
    socket.on("data", (bytes) => this.onData(bytes as Buffer))
    socket.on("end", () => this.onEnd())
    socket.on("close", () => this.onEnd())
    socket.on("error", () => {})
  }

  private onData(bytes: Uint8Array): void {
    const frames: Array<Message.Message> = []
    const error = this.decoder.push(bytes, frames)
    for (const frame of frames) this.judge.received(frame)
    this.judge.expect(error === undefined, `what is no frame: ${error?.message}`)
    this.wake()
  }

  private onEnd(): void {
    this.isOpen = false
    this.wake()
  }

  private wake(): void {
    for (const look of this.waiting) look()
  }

  send(bytes: Uint8Array): void {
    if (!this.isOpen) return
    this.socket.write(bytes)
    this.judge.sent(bytes.length)
    this.wasLate = this.isLate
    if (!this.judge.isPartial) this.partialSince = Number.POSITIVE_INFINITY
    else this.partialSince = Math.min(this.partialSince, Date.now())
  }

  get isLate(): boolean {
    return this.wasLate || Date.now() - this.partialSince >= requestTimeoutMillis / 4
  }

  /** Waits until something holds or the server has closed; whether it did in time. */
  until(condition: () => boolean, millis: number): Effect.Effect<boolean> {
    const holds = () => !this.isOpen || condition()
    return Effect.callback<boolean>((resume) => {
      const look = () => {
        if (holds()) resume(Effect.succeed(true))
      }
      this.waiting.add(look)
      look()
      return Effect.sync(() => this.waiting.delete(look))
    }).pipe(Effect.timeoutOrElse({ duration: millis, orElse: () => Effect.sync(holds) }))
  }
}

const dial = (address: Address.Address, judge: Judge): Effect.Effect<Line, Error, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Line, Error>((resume) => {
      const where =
        address._tag === "Unix" ? { path: address.path } : { host: address.host, port: address.port }
      // The client's half stays open when the server closes its own.
      const socket = Net.connect({ ...where, noDelay: true, allowHalfOpen: true })
      const line = new Line(socket, judge)
      socket.once("error", (error) => resume(Effect.fail(error)))
      socket.once("connect", () => resume(Effect.succeed(line)))
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

const perform = (line: Line, step: Script.Step): Effect.Effect<unknown> => {
  switch (step._tag) {
    case "Send":
      // A turn of the loop after each, so that the pieces go out one by one.
      return Effect.andThen(
        Effect.sync(() => line.send(step.bytes)),
        Effect.sleep(0)
      )
    case "StopReading":
      return Effect.sync(() => {
        line.socket.pause()
        line.reads = false
      })
    case "Await":
      return line.reads ? line.until(() => line.judge.has(step.what), patienceMillis) : Effect.void
  }
}

/** What the server owes a client that stays. */
const owed = ({ judge }: Line): string | undefined => {
  if (judge.possible.isClosed === "yes") return "the connection is open, though the client broke the protocol"
  if (judge.isPartial) return "the connection is open, though a frame takes longer than requestTimeout"
  return judge.isOwed ? "a request has no answer" : undefined
}

/** Whether the connection serves another request. */
const isOfUse = Effect.fnUntraced(function* (line: Line) {
  line.send(lastFrame)
  yield* line.until(() => !line.judge.isOwed, limitMillis)
  line.judge.expect(line.isOpen && line.judge.answers.at(-1) === "F", "the last request was not answered")
})

/** Stays for what the server owes: a close, or the answers. Whether it closed for what the client did. */
const stay = Effect.fnUntraced(function* (line: Line): Effect.fn.Return<boolean> {
  const { judge } = line
  yield* line.until(() => owed(line) === undefined, limitMillis)
  if (line.isOpen) {
    const missing = owed(line)
    if (missing === undefined) yield* isOfUse(line)
    else judge.expect(false, `${missing} after ${limitMillis} ms`)
    return false
  }
  judge.expect(
    judge.possible.isClosed !== "no" || line.isLate,
    "closed, though the client kept to the protocol"
  )
  return judge.possible.isClosed === "yes" && !line.isLate
})

/** Closes its half, upon which the server must close the other. */
const halfClose = Effect.fnUntraced(function* (line: Line) {
  line.socket.end()
  line.judge.possible.left()
  const closed = yield* line.until(() => false, limitMillis)
  line.judge.expect(closed, `the connection is open ${limitMillis} ms after the client closed its half`)
})

const end = Effect.fnUntraced(function* (line: Line, ending: Script.Ending): Effect.fn.Return<boolean> {
  // Whoever does not read sees no end: what the server made of it shows in what is left of the connection.
  if (!line.reads && line.judge.isOwed) yield* Effect.sleep(1.5 * writeTimeoutMillis)
  if (ending === "reset" && line.socket.localPort !== undefined) line.socket.resetAndDestroy()
  if (ending === "reset" || ending === "leave" || !line.reads) return false
  const violated = ending === "stay" && (yield* stay(line))
  yield* halfClose(line)
  return violated
})

export interface Played {
  readonly faults: ReadonlyArray<string>
  readonly answers: ReadonlyArray<string>
  /** The client's address, if the server closed the connection because the client broke the protocol. */
  readonly violator: string | undefined
}

export const play = (server: Server, script: Script.Script): Effect.Effect<Played> => {
  const judge = new Judge(Buffer.concat([Script.sent(script), lastFrame]))
  return Effect.gen(function* () {
    const line = yield* dial(server[script.where], judge)
    const { localAddress, localPort } = line.socket
    yield* Effect.forEach(script.steps, (step) => perform(line, step), { discard: true })
    const violated = (yield* end(line, script.ending)) && script.where === "tcp"
    return {
      faults: judge.faults,
      answers: judge.answers,
      violator: violated ? `${localAddress}:${localPort}` : undefined
    }
  }).pipe(
    Effect.scoped,
    Effect.catch((error) =>
      Effect.succeed({ faults: [error.message], answers: judge.answers, violator: undefined })
    )
  )
}
