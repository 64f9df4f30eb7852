/**
 * How far the engine is, as a real terminal shows it.
 */
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Address from "../../src/net/Address.ts"
import * as Dataconn from "../support/Dataconn.ts"
import * as Folder from "../support/Folder.ts"
import { isLong } from "../support/Long.ts"
import * as LongTable from "../support/LongTable.ts"
import * as Tmux from "../support/Tmux.ts"

const [node, bin] = Dataconn.program

describe.runIf(Tmux.isThere)("a terminal", () => {
  const scope = Scope.makeUnsafe()
  let server: Dataconn.Dataconn
  let full: Dataconn.Dataconn
  let tmux: Tmux.Tmux

  beforeAll(() =>
    Effect.gen(function* () {
      const args = ["--database", yield* LongTable.make, "--threads", "1"]
      server = yield* Dataconn.serve(args, Dataconn.isolated)
      full = yield* Dataconn.serve([...args, "--max-connections-per-address", "1", "--log-level", "debug"])
      tmux = yield* Tmux.make
    }).pipe(Scope.provide(scope), Effect.runPromise)
  )
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  const open = Effect.fnUntraced(function* (asked: Dataconn.Dataconn, command: string, options = "") {
    const env = {
      DATACONN_SERVER: Address.format(yield* asked.address),
      DATACONN_HISTORY: join(yield* Folder.make, "history")
    }
    const window = yield* tmux.open({ env })
    yield* window.enter(`clear; ${node} ${bin} ${command} ${options}; echo "exit code $?"`)
    return window
  })

  it.live("shows before the first byte of a result how far its query is, from a process of its own", () =>
    Effect.gen(function* () {
      const window = yield* open(server, "query", `'${LongTable.query}' -f json > /dev/null`)
      yield* window.shows(/^the query runs, \d+ %, [\d.]+ s$/m)
      yield* window.press("C-c")
      const screen = yield* window.shows(/exit code \d+\n\$$/)
      assert.match(screen, /^Cancelled\.\nexit code 130\n\$$/)
    })
  )

  it.live("shows it in the repl", () =>
    Effect.gen(function* () {
      const window = yield* open(server, "repl")
      yield* window.shows(/dataconn>$/)
      yield* window.enter(`${LongTable.query};`)
      yield* window.shows(/^the query runs, \d+ %, [\d.]+ s$/m)
      yield* window.press("C-c")
      yield* window.shows(/^Cancelled\.\ndataconn>$/m)
    })
  )

  it.live.runIf(isLong)(
    "shows nothing of it where the server has no place for another connection, and the query goes on",
    () =>
      Effect.gen(function* () {
        const window = yield* open(full, "query", `'${LongTable.query}' -f json > /dev/null`)
        yield* full.line(/rejected .*maxConnectionsPerAddress/)
        yield* window.shows(/^the query runs, [\d.]+ s$/m)
        const screen = yield* window.shows(/exit code \d+\n\$$/)
        assert.match(screen, /^exit code 0\n\$$/)
      })
  )
})
