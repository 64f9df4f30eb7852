/**
 * `dataconn serve` in a process of its own on the sample data, watched through its log, which is counted and
 * not kept, and through what the system tells of its process.
 */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Address from "../../src/wire/Address.ts"
import * as Dataconn from "./Dataconn.ts"
import * as Folder from "./Folder.ts"
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
  /** Warnings, errors and whatever else the server should not have to say. */
  readonly complaints: () => ReadonlyArray<string>
  readonly running: () => boolean
  /** Asks it to stop, and waits for its exit code. */
  readonly stop: Effect.Effect<number | NodeJS.Signals>
}

export interface Options {
  readonly args?: ReadonlyArray<string>
  /** Called with the client's address when a connection has begun, and with the reason when it has ended. */
  readonly onConnection?: (remote: string, reason: string | undefined) => void
}

interface Entry {
  readonly level: string
  readonly event?: string
  readonly connection?: { readonly remote: string }
  readonly control?: { readonly reason: string }
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

  const keeps = (line: string): boolean => {
    const entry = parse(line)
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

  const args = ["--listen", socket, "--log-format", "json", ...(options.args ?? [])]
  const server = yield* Dataconn.serve(args, { keeps, detached: true })
  const tcp = yield* server.address
  return {
    pid: server.pid,
    tcp,
    unix: Address.parse(socket) as Address.Address,
    counts: () => ({ connections, queries, closings }),
    status: () => ProcessStatus.read(server.pid),
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
