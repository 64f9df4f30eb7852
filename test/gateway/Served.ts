/**
 * A gateway on a real socket, with back-ends on real sockets behind it, and clients for it.
 */
import { spawn } from "node:child_process"
import * as Net from "node:net"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Gateway from "../../src/gateway/Gateway.ts"
import type * as GatewayConfig from "../../src/gateway/GatewayConfig.ts"
import * as Address from "../../src/net/Address.ts"
import type * as ServerConfig from "../../src/server/ServerConfig.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as RowEngine from "./RowEngine.ts"

/** The end of a `curl`: its exit code, and what it printed. */
export interface Curled {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `curl` to its end. */
export const curl = (...args: ReadonlyArray<string>): Effect.Effect<Curled> =>
  Effect.callback((resume) => {
    const child = spawn("curl", ["-sS", "--max-time", "20", ...args])
    const out: Array<Buffer> = []
    const err: Array<Buffer> = []
    child.stdout.on("data", (chunk) => out.push(chunk))
    child.stderr.on("data", (chunk) => err.push(chunk))
    child.on("close", (code) =>
      resume(
        Effect.succeed({
          code,
          stdout: Buffer.concat(out).toString("latin1"),
          stderr: String(Buffer.concat(err))
        })
      )
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })

export type Problem = Record<string, unknown>

/** A response whose body has been read whole. */
export interface Answer {
  readonly status: number
  readonly statusText: string
  readonly headers: Headers
  readonly text: string
  readonly json: () => Record<string, unknown>
}

/** A fetch that reads the whole body; dies if that is broken off. */
export const fetched = (url: string, init: RequestInit = {}): Effect.Effect<Answer> =>
  Effect.promise(async (signal) => {
    const response = await fetch(url, { signal, ...init })
    const text = await response.text()
    const { headers, status, statusText } = response
    return { status, statusText, headers, text, json: () => JSON.parse(text) }
  })

/** A query as `POST` of SQL, with the rest in the URL. */
export const sql = (query: string, headers: Record<string, string> = {}): RequestInit => ({
  method: "POST",
  body: query,
  headers: { "content-type": "application/sql", ...headers }
})

export interface Served {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string
  readonly address: Address.Address
  readonly gateway: Gateway.GatewayService
  readonly engine: RowEngine.RowEngine
  readonly backend: LiveServer.LiveServer
}

export class Service extends Context.Service<Service, Served>()("test/gateway/Served") {}

export const urlOf = (address: Address.Address): string => `http://${Address.format(address)}`

/** A gateway before one back-end. */
export const make = Effect.fnUntraced(function* (
  options: Partial<GatewayConfig.Options> = {},
  config: ServerConfig.Options = {}
) {
  const engine = RowEngine.make()
  const backend = yield* LiveServer.start(engine.engine, config)
  const gateway = yield* Gateway.make({
    http: ["127.0.0.1:0"],
    backends: { main: [Address.format(backend.address)] },
    ...options
  })
  const address = gateway.addresses[0]
  if (address === undefined) return yield* Effect.die(new Error("the gateway listens nowhere"))
  return { url: urlOf(address), address, gateway, engine, backend }
})

export const layer = (options?: Partial<GatewayConfig.Options>, config?: ServerConfig.Options) =>
  Layer.provide(Layer.effect(Service, Effect.orDie(make(options, config))), Logger.layer([]))

/** Sends a request as it is written; the socket reads nothing unless it is asked to. */
export const dial = ({ address }: Pick<Served, "address">, request: string) =>
  Effect.acquireRelease(
    Effect.callback<Net.Socket>((resume) => {
      const socket = Net.connect(address._tag === "Unix" ? { path: address.path } : address)
      socket.pause()
      socket.on("error", () => {})
      socket.once("connect", () => {
        socket.write(request)
        resume(Effect.succeed(socket))
      })
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** The request of a query as it is written. */
export const post = (query: string, search = ""): string =>
  `POST /v1/query${search} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sql\r\n` +
  `Content-Length: ${Buffer.byteLength(query)}\r\n\r\n${query}`
