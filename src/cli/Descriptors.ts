/**
 * Limits a server's connections so that it can start its engine again at any time, even while the previous
 * one still runs (SIGHUP), and a gateway's so that it can reach its back-ends.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as GatewayConfig from "../gateway/GatewayConfig.ts"
import * as FileLimit from "../server/FileLimit.ts"
import * as QueryLimit from "../server/QueryLimit.ts"
import type { ServeConfig } from "./ServeConfig.ts"

/** The needs for descriptors. */
export interface Wanted {
  readonly connections: number
  readonly http: number
  /** Processes of the engine, including those of a replacement. */
  readonly processes: number
  /** Queries in progress in each process. */
  readonly queries: number
}

/** The pipes to one process of the engine, besides the socket of each query. */
const pipes = 4

/** A server with room for fewer connections does not start. */
const leastConnections = 8

/** How many descriptors are needed. The process holds both ends of a socket while it starts another one. */
export const needed = ({ connections, http, processes, queries }: Wanted): number =>
  FileLimit.others +
  FileLimit.ofConnections(connections) +
  http +
  (processes === 0 ? 0 : (processes + 1) * (Math.min(queries, connections + http) + pipes))

/** The same with at most so many connections in all. */
const withMost = (wanted: Wanted, most: number): Wanted => {
  const connections = Math.ceil((most * wanted.connections) / (wanted.connections + wanted.http))
  const http = most - connections
  return { ...wanted, connections, http, queries: Math.min(wanted.queries, most) }
}

/**
 * The largest part of the needs that fits the descriptors; `undefined` if that is too little to be useful.
 */
export const within = (limit: number, wanted: Wanted): Wanted | undefined => {
  if (needed(wanted) <= limit) return wanted
  let [fits, exceeds] = [0, wanted.connections + wanted.http]
  while (exceeds - fits > 1) {
    const most = Math.floor((fits + exceeds) / 2)
    if (needed(withMost(wanted, most)) <= limit) fits = most
    else exceeds = most
  }
  return fits < leastConnections ? undefined : withMost(wanted, fits)
}

/** The least number of descriptors to start with. */
const least = (wanted: Wanted): number => needed(withMost(wanted, leastConnections))

const wantedBy = (config: ServeConfig): Wanted => {
  const { allowExternalAccess, engines, http, httpMaxConnections, isolate, maxConnections, readWrite } =
    config
  const places = isolate === "process" ? (engines ?? (readWrite || allowExternalAccess ? 1 : 2)) : 0
  return {
    connections: maxConnections,
    http: http.length * httpMaxConnections,
    processes: readWrite ? places : 2 * places,
    queries: QueryLimit.mostUnderWay(config)
  }
}

/** Settings that fit the descriptors of the process. */
export interface Fitted extends ServeConfig {
  /** How many queries may be in progress in each process of the engine. */
  readonly engineQueries: number
}

/** The process may open too few files and sockets. */
export class DescriptorError extends Schema.TaggedError<DescriptorError>()("DescriptorError", {
  limit: Schema.Int,
  needed: Schema.Int
}) {
  override get message() {
    return `ulimit -n: this process may have ${this.limit} files and sockets open, and needs ${this.needed} at least`
  }
}

/**
 * The settings with as many connections as there are descriptors for. A warning is logged if these are fewer.
 */
export const fit = (
  config: ServeConfig,
  limit: number | undefined = FileLimit.read()
): Effect.Effect<Fitted, DescriptorError> => {
  const wanted = wantedBy(config)
  const fitted = within(limit ?? Number.POSITIVE_INFINITY, wanted)
  if (fitted === undefined)
    return Effect.fail(new DescriptorError({ limit: limit ?? 0, needed: least(wanted) }))
  const settings: Fitted = {
    ...config,
    maxConnections: fitted.connections,
    httpMaxConnections:
      config.http.length === 0
        ? config.httpMaxConnections
        : Math.max(1, Math.floor(fitted.http / config.http.length)),
    engineQueries: fitted.queries
  }
  if (fitted === wanted) return Effect.succeed(settings)
  const lowered = [
    `maxConnections is ${settings.maxConnections} instead of ${config.maxConnections}`,
    ...(wanted.http === 0
      ? []
      : [`httpMaxConnections ${settings.httpMaxConnections} instead of ${config.httpMaxConnections}`])
  ]
  return Effect.as(
    Effect.logWarning(
      `This process may have ${limit} files and sockets open (ulimit -n), and needs ${needed(wanted)} for all that its ` +
        `settings allow: so that its engine can be started again at any time, ${lowered.join(" and ")}`
    ),
    settings
  )
}

/** The relevant settings of a gateway. */
type Gateway = Pick<
  GatewayConfig.GatewayConfig,
  "http" | "httpMaxConnections" | "backends" | "backendConnections" | "backendQueue"
>

/** The settings of a gateway, with its connections limited so that descriptors are left for its back-ends. */
export const fitGateway = <A extends Gateway>(
  options: A,
  limit: number = FileLimit.read() ?? Number.POSITIVE_INFINITY
): Effect.Effect<A, DescriptorError> => {
  const { backendConnections, backendQueue, backends, http, httpMaxConnections } = options
  const addresses = Object.values(backends).reduce((sum, { length }) => sum + length, 0)
  const inside =
    addresses *
    QueryLimit.mostUnderWay({
      maxConcurrentQueries: backendConnections,
      maxQueuedQueries: backendQueue
    })
  const wanted = http.length * httpMaxConnections
  const left = limit - FileLimit.others
  if (wanted + inside <= left) return Effect.succeed(options)
  const most = Math.max(left - inside, Math.floor(left / 2))
  if (most < leastConnections) {
    return Effect.fail(new DescriptorError({ limit, needed: FileLimit.others + 2 * leastConnections }))
  }
  const lowered = Math.max(1, Math.min(httpMaxConnections, Math.floor(most / http.length)))
  return Effect.as(
    Effect.logWarning(
      `This process may have ${limit} files and sockets open (ulimit -n), and needs ` +
        `${FileLimit.others + wanted + inside} for all that its settings allow: so that it can reach its back-ends at any ` +
        `time, httpMaxConnections is ${lowered} instead of ${httpMaxConnections}`
    ),
    { ...options, httpMaxConnections: lowered }
  )
}
