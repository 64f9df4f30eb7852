/**
 * A server that is stopped and started again under load, and one that has fewer places than clients want: no request
 * may be left without word of what became of it.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ClientService } from "../../src/client/Client.ts"
import * as ClientPool from "../../src/client/ClientPool.ts"
import type { PoolSettings } from "../../src/client/Settings.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Address from "../../src/net/Address.ts"
import * as Server from "../../src/server/Server.ts"
import type * as ServerConfig from "../../src/server/ServerConfig.ts"
import * as TinyEngine from "../support/TinyEngine.ts"

export interface Options {
  /** Whether enough has happened. */
  readonly enough: (tally: Tally) => boolean
  /** How long a server lives, in milliseconds; for as long as is needed where it is left out. */
  readonly lifeMillis?: number | undefined
  /** How long there is no server between two, in milliseconds. Default 0. */
  readonly downMillis?: number | undefined
  readonly pools: number
  /** Requests that are under way at a time on each pool. */
  readonly workers: number
  readonly settings?: ServerConfig.Options | undefined
  readonly pool?: Partial<PoolSettings> | undefined
}

/** How often a request ended how. */
export interface Tally {
  answered: number
  /** It is certain that nothing was run: by reason. */
  readonly told: Record<string, number>
  /** Nobody knows what became of it: by error. */
  readonly lost: Record<string, number>
  restarts: number
}

const count = (counts: Record<string, number>, name: string) => {
  counts[name] = (counts[name] ?? 0) + 1
}

/** Asks again and again, and waits a little where there is no server. */
const work = (client: ClientService, tally: Tally): Effect.Effect<never> =>
  client.request(new TextEncoder().encode("echo all is well")).pipe(
    Effect.flatMap(({ chunks }) => Stream.mkString(Stream.decodeText(chunks))),
    Effect.scoped,
    Effect.matchEffect({
      onSuccess: (text) => {
        if (text === "all is well") tally.answered++
        else count(tally.lost, `answered with ${text}`)
        return Effect.void
      },
      onFailure: (error) => {
        if (error._tag === "QueryRejected") {
          count(tally.told, QueryApi.decodeError(error.payload).code)
        } else if (error._tag === "ClientError" && error.retryable) {
          count(tally.told, error.reason._tag)
        } else count(tally.lost, error._tag === "ClientError" ? error.message : error._tag)
        return Effect.sleep(2)
      }
    }),
    Effect.forever
  )

/** Starts a server; the first one chooses the port. */
const start = Effect.fnUntraced(function* (listen: string, settings: ServerConfig.Options = {}) {
  const scope = yield* Scope.make()
  const server = yield* Server.make({ ...settings, listen: [listen] }).pipe(
    Scope.provide(scope),
    Effect.provideService(QueryEngine, TinyEngine.make().engine),
    Effect.orDie
  )
  const address = server.addresses[0] as Address.Address
  return { address, stop: Scope.close(scope, Exit.void) }
})

export const run = Effect.fnUntraced(function* (options: Options) {
  const { downMillis = 0, enough, lifeMillis, pool, pools, settings, workers } = options
  const tally: Tally = { answered: 0, told: {}, lost: {}, restarts: 0 }
  let server = yield* start("127.0.0.1:0", settings)
  const { address } = server
  const clients = yield* Effect.replicateEffect(
    ClientPool.connect(address, { maxConnections: workers, heartbeatTolerance: "1 minute", ...pool }),
    pools
  )
  const fibers = yield* Effect.forEach(clients, (client) =>
    Effect.forEach(Array(workers).fill(client), (each: ClientService) => Effect.forkChild(work(each, tally)))
  )
  while (!enough(tally)) {
    yield* Effect.sleep(lifeMillis ?? 20)
    if (lifeMillis === undefined) continue
    yield* server.stop
    yield* Effect.sleep(downMillis)
    server = yield* start(Address.format(address), settings)
    tally.restarts++
  }
  yield* Fiber.interruptAll(fibers.flat())
  yield* server.stop
  return tally
})
