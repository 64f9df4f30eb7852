/**
 * The gateway without HTTP, with back-ends in memory that the test drives: what happens at the same time.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Pull from "effect/Pull"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Limits from "../../src/engine/Limits.ts"
import { Access } from "../../src/gateway/Access.ts"
import * as Asked from "../../src/gateway/Asked.ts"
import type { Place } from "../../src/gateway/Backends.ts"
import * as Caller from "../../src/gateway/Caller.ts"
import * as Core from "../../src/gateway/Core.ts"
import * as GatewayConfig from "../../src/gateway/GatewayConfig.ts"
import * as Rules from "../../src/gateway/Rules.ts"
import * as Transport from "../../src/net/Transport.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as Served from "../support/Served.ts"
import * as ServerPeer from "../support/ServerPeer.ts"

const accept = 'A {"format":"text/csv","queryId":"1"}'
const overloaded = 'J {"code":"overloaded","message":"full","retryable":true}'

/** An address whose connections end at servers that the test drives. */
const place = Effect.fnUntraced(function* (name: string) {
  const servers: Array<ServerPeer.ServerPeer> = []
  const scope = yield* Effect.scope
  const connect: Transport.Open = Effect.gen(function* () {
    const [near, far] = yield* Scope.provide(MemorySocket.pair(), scope)
    servers.push(yield* Effect.orDie(Scope.provide(ServerPeer.make(far), scope)))
    return yield* Transport.fromSocket(near)
  })
  return { place: { name, connect } satisfies Place, servers }
})

const core = Effect.fnUntraced(function* (
  places: ReadonlyArray<Place>,
  options: Partial<GatewayConfig.Options> = {}
) {
  const config = GatewayConfig.make({ http: [], backends: { main: places }, ...options })
  return yield* Effect.orDie(Core.make(config, { rules: Rules.none, access: new Access(undefined) }))
})

const asked = (fields: Record<string, unknown> = {}): Asked.Asked => {
  const limits = Limits.make()
  const made = Asked.make(
    { query: "SELECT", format: "csv", ...fields },
    { accept: undefined, limits, readOnly: false }
  )
  if ("code" in made) throw made
  return made
}

/** Asks, takes the result, and returns what its client sees: `complete`, or the code of the error. */
const ask = ({ dispatcher }: Core.Core, fields?: Record<string, unknown>) => {
  const origin = { caller: Caller.anybody, headers: {}, client: undefined }
  return Effect.gen(function* () {
    const { pull } = yield* dispatcher.start(asked(fields), origin)
    for (;;) {
      const batch = yield* Pull.catchDone(pull, () => Effect.undefined)
      if (batch === undefined) return "complete"
    }
  }).pipe(
    Effect.catch(({ code }) => Effect.succeed(code)),
    Effect.scoped,
    Effect.forkChild({ startImmediately: true }),
    Effect.tap(() => Served.settle)
  )
}

const only = <A>([first]: ReadonlyArray<A>): A => {
  if (first === undefined) throw new Error("There is none")
  return first
}

/** A query that its one back-end has been asked for. */
const underWay = Effect.gen(function* () {
  const one = yield* place("one")
  const gateway = yield* core([one.place])
  const client = yield* ask(gateway)
  const server = only(one.servers)
  assert.match(yield* server.next, /^R /)
  return { client, gateway, server }
})

/** Preempts a fiber before one of its operations, and does something meanwhile. */
class Preempting extends Scheduler.MixedScheduler {
  private readonly meanwhile: () => void
  private left: number

  constructor(operation: number, meanwhile: () => void) {
    super()
    this.left = operation
    this.meanwhile = meanwhile
  }

  override shouldYield(): boolean {
    if (this.left-- !== 0) return false
    this.meanwhile()
    return true
  }
}

/** More operations than a query of these tests takes. */
const operations = Array.from({ length: 200 }, (_, operation) => operation)

/** The client's fiber, whose query is cancelled by its id before one of its operations. */
const cancelledAt = Effect.fnUntraced(function* (gateway: Core.Core, operation: number) {
  const run = Effect.runForkWith(yield* Effect.context<never>())
  const cancels: Array<Fiber.Fiber<void>> = []
  const cancel = () => {
    for (const entry of gateway.queries.all) cancels.push(run(gateway.dispatcher.cancel(entry)))
  }
  const client = yield* Effect.provideService(
    ask(gateway),
    Scheduler.Scheduler,
    new Preempting(operation, cancel)
  )
  return { client, cancels }
})

const effect = <E>(name: string, test: Effect.Effect<void, E, Scope.Scope>) =>
  it.effect(name, () => Effect.provide(test, Logger.layer([])))

describe("a query that is cancelled by its id", () => {
  effect(
    "is told to have ended when it has at its back-end, to everybody who waits for that",
    Effect.gen(function* () {
      const { client, gateway, server } = yield* underWay
      yield* server.send(accept)
      yield* Served.settle
      const cancel = Effect.forkChild(gateway.dispatcher.cancel(only(gateway.queries.all)))
      const waiting = [yield* cancel, yield* cancel, client]
      assert.strictEqual(yield* server.next, "C")
      yield* Served.settle
      assert.deepStrictEqual(
        waiting.map((fiber) => fiber.pollUnsafe()),
        [undefined, undefined, undefined]
      )
      yield* server.send("K")
      yield* Fiber.joinAll(waiting)
      assert.strictEqual(gateway.queries.size, 0)
    })
  )

  for (const [told, readOnly] of [
    ["unknown_outcome", false],
    ["cancelled", true]
  ] as const) {
    const promise = readOnly ? "of a back-end that only reads" : "that may have written"
    effect(
      `${promise} and was complete before the cancel came there is told ${told}`,
      Effect.gen(function* () {
        const { client, gateway, server } = yield* underWay
        yield* server.send(`A {"format":"text/csv","queryId":"1","readOnly":${readOnly}}`)
        yield* Served.settle
        const entry = only(gateway.queries.all)
        const cancel = yield* Effect.forkChild(gateway.dispatcher.cancel(entry))
        assert.strictEqual(yield* server.next, "C")
        yield* server.send("F")
        yield* Fiber.join(cancel)
        assert.strictEqual(yield* Fiber.join(client), told)
        assert.strictEqual(entry.error?.code, told)
      })
    )
  }

  effect(
    "whose client left when it was complete at its back-end has a verdict that says so",
    Effect.gen(function* () {
      const { client, gateway, server } = yield* underWay
      const leaving = yield* Effect.forkChild(Fiber.interrupt(client), { startImmediately: true })
      yield* server.send(accept, "F")
      yield* Fiber.join(leaving)
      const { error, state } = only(gateway.queries.all)
      assert.deepStrictEqual([state, error?.code], ["failed", "unknown_outcome"])
    })
  )

  effect(
    "at whatever moment is asked for no more, and leaves no place taken",
    Effect.forEach(operations, (operation) =>
      Effect.gen(function* () {
        const [one, two] = [yield* place("one"), yield* place("two")]
        const gateway = yield* core([one.place, two.place])
        const { cancels, client } = yield* cancelledAt(gateway, operation)
        for (const server of one.servers) yield* server.send(overloaded)
        yield* Served.settle
        for (const server of two.servers) {
          yield* server.send(accept)
          if (cancels.length > 0) yield* server.send("K")
          else yield* server.send("F")
        }
        yield* Served.settle
        const what = `cancelled at operation ${operation}`
        assert.isDefined(client.pollUnsafe(), what)
        yield* Fiber.joinAll(cancels)
        const busy = gateway.backends.all.flatMap(({ instances }) =>
          instances.map(({ inFlight }) => inFlight)
        )
        assert.deepStrictEqual(busy, [0, 0], what)
      }).pipe(Effect.scoped)
    ).pipe(Effect.asVoid)
  )

  effect(
    "at its end is for its client what its verdict says",
    Effect.forEach(operations, (operation) =>
      Effect.gen(function* () {
        const one = yield* place("one")
        const gateway = yield* core([one.place])
        const { cancels, client } = yield* cancelledAt(gateway, operation)
        for (const server of one.servers) yield* server.send(accept, "F")
        yield* Fiber.joinAll(cancels)
        const seen = yield* Fiber.join(client)
        const { error, state } = only(gateway.queries.all)
        const told = state === "complete" ? state : error?.code
        assert.strictEqual(told, seen, `cancelled at operation ${operation}`)
      }).pipe(Effect.scoped)
    ).pipe(Effect.asVoid)
  )
})

describe("a conversation whose first query has not been accepted", () => {
  effect(
    "goes to no other address while another query of it is under way",
    Effect.gen(function* () {
      const [one, two] = [yield* place("one"), yield* place("two")]
      const gateway = yield* core([one.place, two.place])
      const first = yield* ask(gateway, { conversation: "c" })
      const second = yield* ask(gateway, { conversation: "c" })
      const [left, right] = one.servers
      yield* left?.send(overloaded) ?? Effect.void
      assert.strictEqual(yield* Fiber.join(first), "overloaded")
      yield* right?.send(accept, "F") ?? Effect.void
      assert.strictEqual(yield* Fiber.join(second), "complete")
      assert.lengthOf(two.servers, 0)
    })
  )

  effect(
    "goes elsewhere with its only query, and the next one goes there too",
    Effect.gen(function* () {
      const [one, two] = [yield* place("one"), yield* place("two")]
      const gateway = yield* core([one.place, two.place])
      const first = yield* ask(gateway, { conversation: "c" })
      yield* only(one.servers).send(overloaded)
      yield* Served.settle
      const second = yield* ask(gateway, { conversation: "c" })
      assert.lengthOf(one.servers, 1)
      for (const server of two.servers) yield* server.send(accept, "F")
      assert.strictEqual(yield* Fiber.join(first), "complete")
      assert.strictEqual(yield* Fiber.join(second), "complete")
    })
  )
})

describe("a query for which the pool of an address has no room", () => {
  effect(
    "says nothing of the address",
    Effect.gen(function* () {
      const hanging: Place = { name: "hanging", connect: Effect.never }
      const options: Partial<GatewayConfig.Options> = {
        backendConnections: 1,
        backendQueue: 0,
        ejectAfter: 2,
        backendConnectTimeout: "1 second"
      }
      const gateway = yield* core([hanging], options)
      const state = () => only(only(gateway.backends.all).instances).state
      for (const expected of ["up", "ejected"]) {
        const waiting = yield* ask(gateway)
        const refused = yield* ask(gateway)
        assert.strictEqual(yield* Fiber.join(refused), "overloaded")
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* Fiber.join(waiting), "backend_unavailable")
        assert.strictEqual(state(), expected)
      }
    })
  )
})

describe("a query that waits for a connection to its back-end", () => {
  const one = { backendConnections: 1, backendQueue: 1 }

  /** A query whose client takes nothing of its result. */
  const unread = Effect.fnUntraced(function* ({ dispatcher, queries }: Core.Core) {
    const origin = { caller: Caller.anybody, headers: {}, client: undefined }
    yield* Effect.forkChild(Effect.scoped(Effect.andThen(dispatcher.start(asked(), origin), Effect.never)), {
      startImmediately: true
    })
    yield* Served.settle
    return only(queries.all.slice(-1))
  })

  effect(
    "has one beside those that are not read, or in the place of the one that was not read for longest",
    Effect.gen(function* () {
      const { place: main, servers } = yield* place("one")
      const gateway = yield* core([main], one)
      const entries = []
      for (const index of [0, 1]) {
        entries.push(yield* unread(gateway))
        yield* TestClock.adjust("2 seconds")
        yield* servers[index]?.send(accept, "I half") ?? Effect.void
        yield* TestClock.adjust("2 seconds")
      }
      const client = yield* ask(gateway)
      yield* TestClock.adjust("2 seconds")
      const first = only(servers)
      for (const frame of [/^R /, /^C/]) assert.match(yield* first.next, frame)
      yield* first.send("K")
      assert.match(yield* first.next, /^R /)
      yield* first.send(accept, "F")
      assert.strictEqual(yield* Fiber.join(client), "complete")
      assert.deepStrictEqual(
        entries.map(({ error, state }) => [state, error?.code]),
        [
          ["failed", "overloaded"],
          ["running", undefined]
        ]
      )
      assert.lengthOf(servers, 2)
    })
  )

  effect(
    "waits no longer than backendQueueTimeout, or its timeoutMs, and may be sent again",
    Effect.gen(function* () {
      const { gateway } = yield* underWay
      const { backends, queries } = gateway
      const limited = yield* core([{ name: "hanging", connect: Effect.never }], {
        backendConnectTimeout: "1 hour"
      })
      for (const [asking, of, code, retryable] of [
        [{}, limited, "overloaded", true],
        [{ timeoutMs: 5000 }, limited, "timeout", true],
        // Its back-end has it, and may run it.
        [{ timeoutMs: 5000 }, gateway, "timeout", false]
      ] as const) {
        const client = yield* ask(of, asking)
        yield* TestClock.adjust("4 seconds")
        assert.isUndefined(client.pollUnsafe())
        yield* TestClock.adjust("27 seconds")
        assert.strictEqual(yield* Fiber.join(client), code)
        const { error } = only(of.queries.all.filter(({ error }) => error?.code === code).slice(-1))
        assert.strictEqual(error?.retryable, retryable)
      }
      assert.lengthOf(backends.all, 1)
      assert.strictEqual(queries.size, 1)
    })
  )
})
