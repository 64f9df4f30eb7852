/**
 * `dataconn debug` in a real terminal: keys are typed, and the screen is read.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Address from "../../src/net/Address.ts"
import * as Dataconn from "../support/Dataconn.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as QueryServer from "../support/QueryServer.ts"
import * as Tmux from "../support/Tmux.ts"

const [node, bin] = Dataconn.source

describe.runIf(Tmux.isThere)("the debugger in a terminal", () => {
  const scope = Scope.makeUnsafe()
  let window: Tmux.Window
  let address: string

  beforeAll(() =>
    Effect.gen(function* () {
      // Its heartbeats come often, between what is typed.
      const server = yield* LiveServer.start(QueryServer.engine, { heartbeatInterval: "1 second" })
      address = Address.format(server.address)
      const tmux = yield* Tmux.make
      window = yield* tmux.open({ columns: 100 })
      yield* window.enter(`${node} ${bin} debug --server ${address}; echo "exit code $?"`)
      yield* window.shows(/help shows all, quit leaves\.\n.* ── connected to /)
    }).pipe(Scope.provide(scope), Effect.runPromise)
  )
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  it.live("shows what comes above the line that is typed, and leaves that as it is", () =>
    Effect.gen(function* () {
      yield* window.type("query echo 'a line")
      yield* window.shows(
        /← H {2}Heartbeat +0\n.*\ndebug> query echo 'a line$|← H.*\ndebug> query echo 'a line$/
      )
      yield* window.enter(" of its own'")
      const screen = yield* window.shows(/← F {2}Final Chunk[^\n]*a line of its own[\s\S]*\ndebug>$/)
      assert.match(screen, /\ndebug> query echo 'a line of its own'\n/)
      assert.match(screen, /→ R {2}Request +\d+ {2}\{"version":"v1","query":"echo 'a line of its own'"\}\n/)
      yield* window.enter("heartbeats off")
    })
  )

  it.live("says what is no step, completes words, and ends a wait at Ctrl-C", () =>
    Effect.gen(function* () {
      yield* window.enter("hello")
      yield* window.shows(/There is no step hello; help shows them\ndebug>$/)
      yield* window.type("half")
      yield* window.press("Tab")
      yield* window.shows(/\ndebug> half-close$/)
      yield* window.press("C-c")
      yield* window.shows(/\^C\ndebug>$/)
      yield* window.enter("await closed")
      yield* window.shows(/\ndebug> await closed$/)
      yield* window.press("C-c")
      yield* window.enter("bodies hex")
      yield* window.enter("frame z hex:1b5b324a")
      yield* window.shows(
        /→ z .*\n +00000000 {2}1b 5b 32 4a .*\|\.\[2J\|\n[\s\S]*← ── the server has closed its half\ndebug>$/
      )
      yield* window.enter("C")
      yield* window.shows(/→ C {2}Cancel +0\ndebug>$|the connection is closed; connect makes one\ndebug>$/)
      yield* window.press("C-d")
      yield* window.shows(/exit code 0\n\$$/)
    })
  )
})
