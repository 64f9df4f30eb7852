/**
 * The clients of a soak. Each goes on for as long as it is let, pausing in between, and counts what it did.
 */
import * as Net from "node:net"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Client from "../../src/client/Client.ts"
import type { ClientError } from "../../src/client/ClientError.ts"
import type * as QueryApi from "../../src/engine/QueryApi.ts"
import type * as Address from "../../src/net/Address.ts"
import type { Random } from "../simulation/Random.ts"
import * as Catalogue from "./Catalogue.ts"
import * as Tally from "./Tally.ts"

export interface Options {
  readonly address: Address.Address & { readonly _tag: "Tcp" }
  readonly random: Random
  /** What pauses are multiplied by. */
  readonly pace: number
  readonly fingerprints: Catalogue.Fingerprints
  readonly tally: Tally.Tally
}

type Connected = Client.ClientService

const pause = ({ pace, random }: Options, least: number, most: number): Effect.Effect<void> =>
  Effect.suspend(() => Effect.sleep(pace * random.between(least, most)))

const describe = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return error instanceof Error ? error.message : String(error)
}

/** Does a thing that must succeed; afterwards the connection may be of no more use. */
const counted = <A, E>(
  { tally }: Options,
  what: string,
  effect: Effect.Effect<A, E>
): Effect.Effect<Exit.Exit<A, E>> =>
  Effect.tap(Effect.exit(effect), (exit) =>
    Effect.sync(() => {
      if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) {
        Tally.fail(tally, `${what}: ${describe(exit.cause)}`)
      }
    })
  )

/** Asks an entry of the catalogue and compares the answer. */
const ask = Effect.fnUntraced(function* (
  options: Options,
  client: Connected,
  size: Catalogue.Entry["size"],
  between?: Effect.Effect<void>
) {
  const { fingerprints, random, tally } = options
  const candidates = Catalogue.entries.flatMap((entry, i) => (entry.size === size ? [i] : []))
  const index = candidates[random.below(candidates.length)] as number
  const entry = Catalogue.entries[index] as Catalogue.Entry
  const exit = yield* counted(options, entry.name, Catalogue.fingerprint(client, entry.query, between))
  if (Exit.isFailure(exit)) return
  tally.completed++
  tally.bytes += exit.value.size
  if (exit.value.text !== fingerprints[index]) {
    Tally.fail(tally, `${entry.name}: ${exit.value.text}, not ${fingerprints[index]}`)
  }
})

/** Runs rounds on one connection after the other, so many on each. */
const onConnections = (
  options: Options,
  rounds: readonly [least: number, most: number],
  round: (client: Connected) => Effect.Effect<unknown>
): Effect.Effect<never> =>
  Effect.forever(
    Effect.gen(function* () {
      const exit = yield* counted(
        options,
        "connect",
        Effect.scoped(
          Effect.gen(function* () {
            const client = yield* Client.connect(options.address)
            const count = options.random.between(...rounds)
            for (let i = 0; i < count && client.isOpen(); i++) yield* round(client)
          })
        )
      )
      // Nobody hammers at a server that is gone.
      if (Exit.isFailure(exit)) yield* Effect.sleep(1000)
    })
  )

const small = (options: Options) =>
  onConnections(options, [20, 400], (client) =>
    Effect.andThen(ask(options, client, "small"), pause(options, 10, 100))
  )

const large = (options: Options) =>
  onConnections(options, [1, 20], (client) =>
    Effect.andThen(ask(options, client, "large"), pause(options, 200, 1500))
  )

/** Takes its results a piece at a time, so that the server has to wait for it. */
const slow = (options: Options) =>
  onConnections(options, [1, 5], (client) =>
    Effect.andThen(ask(options, client, "large", Effect.sleep(20)), pause(options, 500, 3000))
  )

/** Of the queries that are broken off: those that compute in silence, which keeps every core busy. */
const silentShare = 0.1

/** Takes a result without looking at it. */
const drain = (tally: Tally.Tally, client: Connected, query: Client.Query) =>
  Effect.scoped(
    Effect.flatMap(client.query(query), ({ chunks }) =>
      Stream.runForEach(chunks, (chunk) =>
        Effect.sync(() => {
          tally.bytes += chunk.length
        })
      )
    )
  )

/** Cancels at any moment, before the first byte or in full flow; the connection must be of use after that. */
const cancelling = (options: Options) =>
  onConnections(options, [1, 30], (client) => {
    const { random, tally } = options
    const query = random.chance(silentShare) ? Catalogue.silent : Catalogue.endless
    const millis = random.below(300)
    const response = drain(tally, client, query)
    return Effect.gen(function* () {
      yield* counted(options, "a query to cancel", Effect.timeoutOption(response, millis))
      tally.cancelled++
      yield* ask(options, client, "small")
      yield* pause(options, 300, 2000)
    })
  })

const dial = ({ host, port }: Options["address"]): Effect.Effect<Net.Socket, Error, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Net.Socket, Error>((resume) => {
      const socket = Net.connect({ host, port, noDelay: true })
      socket.once("error", (error) => resume(Effect.fail(error)))
      socket.once("connect", () => resume(Effect.succeed(socket)))
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** Whether a response ended because its connection did. */
const isLost = (cause: Cause.Cause<QueryApi.QueryError | ClientError>): boolean => {
  const error = Cause.findErrorOption(cause)
  return error._tag === "Some" && error.value._tag === "ClientError"
}

/** Vanishes in the middle of a response, with a reset or by closing. */
const deserting = (options: Options) => {
  const { random, tally } = options
  const round = Effect.gen(function* () {
    const socket = yield* dial(options.address)
    socket.on("error", () => {})
    const client = yield* Client.make(yield* NodeSocket.fromDuplex(Effect.succeed(socket)))
    const leave = Effect.andThen(
      Effect.sleep(random.below(300)),
      Effect.sync(() => {
        if (random.chance(0.5)) socket.resetAndDestroy()
        else socket.destroy()
      })
    )
    yield* Effect.forkScoped(leave)
    const query = random.chance(silentShare) ? Catalogue.silent : Catalogue.endless
    const exit = yield* Effect.exit(drain(tally, client, query))
    if (Exit.isSuccess(exit)) Tally.fail(tally, "a result that was left in the middle is whole")
    else if (!isLost(exit.cause)) Tally.fail(tally, `a query to leave: ${describe(exit.cause)}`)
    tally.abandoned++
  })
  return Effect.forever(
    Effect.andThen(counted(options, "a query to leave", Effect.scoped(round)), pause(options, 500, 3000))
  )
}

/** Is connected and asks next to nothing: heartbeats must keep the connection as it is. */
const idle = (options: Options) =>
  onConnections(options, [1, 4], (client) =>
    Effect.andThen(pause(options, 5_000, 30_000), ask(options, client, "small"))
  )

/** The clients of one process. */
export const all = (options: Options): Effect.Effect<unknown> =>
  Effect.forEach(
    [small, small, large, slow, cancelling, deserting, idle, idle],
    (worker) => worker({ ...options, random: options.random.child() }),
    { concurrency: "unbounded", discard: true }
  )
