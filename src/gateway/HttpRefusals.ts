/**
 * Requests that Node's HTTP server refuses before the application sees them: they are answered in order with
 * a problem too, and their connection is closed.
 */
import type * as Http from "node:http"
import type * as Net from "node:net"
import type { Duplex } from "node:stream"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Spawner from "../loop/Spawner.ts"
import * as NodeInternals from "../net/NodeInternals.ts"
import type { GatewayConfig } from "./GatewayConfig.ts"
import * as GatewayError from "./GatewayError.ts"
import * as Metrics from "./Metrics.ts"
import * as Problem from "./Problem.ts"

/** An error of Node's parser, or of a socket. */
export interface Cause {
  readonly code?: string | undefined
  readonly reason?: string | undefined
}

/** The handling of a connection on which an error occurred. */
export type Verdict =
  /** The error is the answer, in its turn, if an answer is due. */
  | GatewayError.GatewayError
  /** Bytes after the last request are ignored. */
  | "ignored"
  /** There is no client to answer. */
  | "gone"

export type Limits = Pick<GatewayConfig, "httpMaxHeaderSize" | "httpRequestTimeout">

/** Node's code for a request that does not arrive in time. */
const tooLate = "ERR_HTTP_REQUEST_TIMEOUT"

/** The meaning of an error. Pure. */
export const verdict = ({ code = "", reason }: Cause, limits: Limits): Verdict => {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return GatewayError.make(
        "head_too_large",
        `The head of the request is longer than ${limits.httpMaxHeaderSize} bytes (httpMaxHeaderSize)`
      )
    case "HPE_CHUNK_EXTENSIONS_OVERFLOW":
      return GatewayError.make("too_large", "The extensions of the body's chunks are too long")
    case tooLate:
      return GatewayError.make(
        "request_timeout",
        `The request did not arrive whole within ${Duration.format(limits.httpRequestTimeout)} (httpRequestTimeout)`,
        { retryable: true }
      )
    case "HPE_PAUSED_H2_UPGRADE":
      return GatewayError.badRequest("The gateway speaks HTTP/1.1, not HTTP/2")
    // After a request with `Connection: close` (RFC 9112 §9.6).
    case "HPE_CLOSED_CONNECTION":
      return "ignored"
    default:
      return code.startsWith("HPE_")
        ? GatewayError.badRequest(`The request is not one of HTTP/1.1: ${reason || code}`)
        : "gone"
  }
}

/** How long a client has to take the answer. */
const patience: Duration.Input = "2 seconds"

const nothing = () => {}

/** Waits until a socket has closed. */
export const closed = (socket: Duplex): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const done = () => resume(Effect.void)
    if (socket.destroyed) return done()
    socket.once("close", done)
    return Effect.sync(() => socket.off("close", done))
  })

/** Destroys a connection that has not closed within a moment. */
export const parting = (socket: Duplex): Effect.Effect<void> =>
  Effect.andThen(
    Effect.timeoutOption(closed(socket), patience),
    Effect.sync(() => socket.destroy())
  )

export interface Options {
  readonly limits: Limits
  readonly clock: Clock.Clock
  /** Its scope owns the fibers that wait for clients. */
  readonly spawner: Spawner.Spawner
}

/** Whether a response is under way on a connection. */
export const isBusy = (socket: Duplex): boolean => NodeInternals.currentResponse(socket) !== undefined

class Refusals {
  private readonly limits: Limits
  private readonly spawner: Spawner.Spawner
  private readonly clock: Clock.Clock
  private readonly cut = new WeakSet<Duplex>()

  constructor({ clock, limits, spawner }: Options) {
    this.limits = limits
    this.spawner = spawner
    this.clock = clock
  }

  failed(cause: Cause, socket: Duplex): void {
    // Node counts from the connection's beginning; from the first byte it counts anew.
    if (cause.code === tooLate && (socket as Net.Socket).bytesRead === 0) return
    const error = verdict(cause, this.limits)
    // A client that closed within a request does not wait for answers to earlier ones.
    const hasLeft = socket.readableEnded && NodeInternals.currentResponse(socket)?.req.complete === true
    if (error === "gone" || hasLeft) socket.destroy()
    else if (error === "ignored") this.cutOff(socket)
    else this.refuse(error, socket)
  }

  /** Answers with an error after the preceding responses. Only the first error on a connection counts. */
  refuse(error: GatewayError.GatewayError, socket: Duplex): void {
    if (!this.cutOff(socket)) return
    this.spawner.spawn(Metrics.refusal(error.code))
    this.answer(error, socket)
  }

  /** Stops parsing the bytes that still arrive. False if that was done before. */
  private cutOff(socket: Duplex): boolean {
    if (this.cut.has(socket)) return false
    this.cut.add(socket)
    socket.removeAllListeners("data").on("data", nothing)
    // The client has closed, and so all that runs for it ends.
    socket.on("end", () => socket.end())
    socket.on("error", nothing)
    return true
  }

  private answer(error: GatewayError.GatewayError, socket: Duplex): void {
    const response = NodeInternals.currentResponse(socket)
    if (response === undefined) {
      // An incomplete request has had its answer: this one would be taken for the answer to another request.
      if (NodeInternals.isWithinRequest(socket)) this.part(socket)
      else this.say(error, socket)
    } else if (!response.req.complete && !response.headersSent) {
      this.say(error, socket, response.req.method)
    } else {
      response.once("close", () => this.answer(error, socket))
    }
  }

  /** Writes the last response of a connection. */
  private say(error: GatewayError.GatewayError, socket: Duplex, method?: string): void {
    const date = new Date(this.clock.currentTimeMillisUnsafe()).toUTCString()
    if (socket.writable) socket.write(Problem.toText(error, { date, method }))
    this.part(socket)
  }

  private part(socket: Duplex): void {
    socket.end()
    this.spawner.spawn(parting(socket))
  }
}

const tunnels = GatewayError.make("not_implemented", "The gateway is no proxy: it does not take CONNECT")

/** Makes a server answer the requests that the application does not see. */
export const install = (server: Http.Server, options: Options): void => {
  const refusals = new Refusals(options)
  // The application checks the head of each request.
  server.on("checkExpectation", (request, response) => server.emit("request", request, response))
  server.on("clientError", (cause: Cause, socket) => refusals.failed(cause, socket))
  server.on("connect", ({ socket }) => refusals.refuse(tunnels, socket))
}
