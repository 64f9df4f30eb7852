/**
 * `dataconn serve` in a process of its own on the sample data, watched through its log, which is counted and
 * not kept, through what the system tells of its process, and through a gauge inside it.
 */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Address from "../../src/net/Address.ts"
import * as Dataconn from "./Dataconn.ts"
import * as Folder from "./Folder.ts"
import type * as Gauge from "./Gauge.ts"
import * as Poll from "./Poll.ts"
import * as ProcessStatus from "./ProcessStatus.ts"

/** What the log has told so far. */
export interface Counts {
  /** Connections that are open. */
  readonly connections: number
  /** Queries that run, or wait for their turn. */
  readonly queries: number
  /** Connections that have ended, by the reason. */
  readonly closings: Readonly<Record<string, number>>
}

export interface WatchedServer {
  readonly pid: number
  readonly tcp: Address.Address
  readonly unix: Address.Address
  readonly counts: () => Counts
  readonly status: () => ProcessStatus.ProcessStatus
  /** Has all garbage collected, and says what is left. */
  readonly live: Effect.Effect<Gauge.Live>
  /** Fibers that have not ended and can be reached. */
  readonly fibers: Effect.Effect<number>
  /** Warnings, errors and whatever else the server should not have to say. */
  readonly complaints: () => ReadonlyArray<string>
  readonly running: () => boolean
  /** Asks it to stop, and waits for its exit code. */
  readonly stop: Effect.Effect<number | NodeJS.Signals>
}

export interface Options {
  readonly args?: ReadonlyArray<string>
  /** Addresses of modules that its process loads before its own code. */
  readonly preload?: ReadonlyArray<string>
  /** Called with the client's address when a connection has begun, and with the reason when it has ended. */
  readonly onConnection?: (remote: string, reason: string | undefined) => void
}

interface Entry {
  readonly level: string
  readonly event?: string
  readonly connection?: { readonly remote: string }
  readonly control?: { readonly reason: string }
  readonly gauge?: Gauge.Reading
}

const gauge = new URL("./Gauge.ts", import.meta.url).href

/** The command that runs the source, with the gauge. */
const program = (preload: ReadonlyArray<string>) => {
  const [node, bin] = Dataconn.source
  const imports = [gauge, ...preload].flatMap((module) => ["--import", module])
  const options = ["--expose-gc", "--disable-warning=ExperimentalWarning"]
  return [node, ...options, ...imports, bin] as const
}

/** Events that end a query which the server took. */
const endings = new Set(["Completed", "Cancelled", "Failed", "Rejected", "Aborted"])

export const start = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<WatchedServer, never, Scope.Scope> {
  const socket = `unix:${join(yield* Folder.make, "socket")}`
  let connections = 0
  let queries = 0
  const closings: Record<string, number> = {}
  let reading: Gauge.Reading | undefined

  const keeps = (line: string): boolean => {
    const entry = parse(line)
    if (entry?.gauge !== undefined) {
      reading = entry.gauge
      return false
    }
    if (entry?.event === undefined) return true
    const remote = entry.connection?.remote ?? ""
    if (entry.event === "Opened") {
      connections++
      options.onConnection?.(remote, undefined)
    }
    if (entry.event === "Request") queries++
    if (endings.has(entry.event)) queries--
    if (entry.event === "Closed") {
      const reason = entry.control?.reason ?? "unknown"
      connections--
      closings[reason] = (closings[reason] ?? 0) + 1
      options.onConnection?.(remote, reason)
    }
    return entry.level !== "Info"
  }

  // What it holds is looked for in one process.
  const own = ["--isolate", "none", "--listen", socket, "--log-format", "json"]
  const args = [...own, ...(options.args ?? [])]
  const server = yield* Dataconn.serve(args, {
    program: program(options.preload ?? []),
    // What is loaded before the command may use the pool before the command has set its size.
    env: { UV_THREADPOOL_SIZE: "64" },
    keeps,
    detached: true
  })
  const tcp = yield* server.address
  const ask = <A>(signal: NodeJS.Signals, find: (reading: Gauge.Reading) => A | undefined) =>
    Effect.gen(function* () {
      reading = undefined
      yield* server.kill(signal)
      yield* Poll.until(`the gauge is read (${signal})`, () => reading !== undefined || !server.running())
      return find(reading ?? {}) ?? (yield* Effect.die(new Error(`the server ended: ${server.stderr()}`)))
    })
  return {
    pid: server.pid,
    tcp,
    unix: Result.getOrThrow(Address.parse(socket)),
    counts: () => ({ connections, queries, closings }),
    status: () => ProcessStatus.read(server.pid),
    live: ask("SIGUSR2", ({ live }) => live),
    fibers: ask("SIGALRM", ({ fibers }) => fibers),
    complaints: () => [
      ...server.lines().filter((line) => parse(line)?.level !== "Info"),
      ...(server.stderr() === "" ? [] : [server.stderr()])
    ],
    running: server.running,
    stop: Effect.andThen(server.kill("SIGTERM"), server.exit)
  }
})

const parse = (line: string): Entry | undefined => {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
