/**
 * `dataconn ping`, in this process and as the health check of a shell.
 */
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as PingCommand from "../../src/cli/PingCommand.ts"
import * as Dataconn from "../support/Dataconn.ts"
import * as Folder from "../support/Folder.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as QueryRun from "../support/QueryRun.ts"
import * as QueryServer from "../support/QueryServer.ts"
import * as ScriptedServer from "../support/ScriptedServer.ts"

const ping = (...args: ReadonlyArray<string>) => QueryRun.run(args, {}, PingCommand.command)

describe("dataconn ping", () => {
  it.live("says that a server answers, and how fast, without running anything", () =>
    Effect.gen(function* () {
      const server = yield* QueryServer.make
      const { code, logged, stderr } = yield* ping("-s", server.address)
      assert.match(logged, /^127\.0\.0\.1:\d+ answers: connected in [\d.]+ m?s, answered in [\d.]+ m?s\n$/)
      assert.strictEqual(stderr, "")
      assert.strictEqual(code, 0)
      yield* server.happened("Rejected")
    })
  )

  it.live("cancels what an engine of another API takes its question for", () =>
    Effect.gen(function* () {
      const other = yield* ScriptedServer.make(({ onMessage, send }) =>
        onMessage((letter) => send(letter === "R" ? "A hello" : "K"))
      )
      assert.strictEqual((yield* ping("-s", other.address)).code, 0)
      assert.strictEqual(other.received(), "RC")
    })
  )

  it.live("runs a query to its end with --query", () =>
    Effect.gen(function* () {
      const { address } = yield* QueryServer.make
      const good = yield* ping("-s", address, "--query", "csv a|")
      assert.match(good.logged, /, the query took [\d.]+ m?s\n$/)
      assert.strictEqual(good.code, 0)
      const bad = yield* ping("-s", address, "--query", "fail")
      assert.strictEqual(bad.stderr, "execution_failed: Division by zero")
      assert.strictEqual(bad.code, 1)
      const json = yield* QueryServer.ofFormats("application/json")
      assert.strictEqual((yield* ping("-s", json.address, "--query", "echo")).code, 0)
    })
  )

  it.live("asks several times, up to the first failure", () =>
    Effect.gen(function* () {
      const { address } = yield* QueryServer.make
      const { logged } = yield* ping("-s", address, "--count", "3", "--interval", "1ms")
      assert.strictEqual(logged.split(" answers: ").length, 4)
    })
  )

  it.live("tells by its exit code what is wrong", () =>
    Effect.gen(function* () {
      const gone = yield* Effect.scoped(QueryServer.make)
      assert.strictEqual((yield* ping("-s", gone.address)).code, 2)
      const web = yield* ScriptedServer.make(({ socket }) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"))
      assert.strictEqual((yield* ping("-s", web.address)).code, 3)
      const busy = yield* ScriptedServer.make(({ onMessage, send }) =>
        onMessage(() => send('J {"code":"overloaded","message":"full","retryable":true}'))
      )
      assert.strictEqual((yield* ping("-s", busy.address)).code, 75)
      const silent = yield* ScriptedServer.make(() => {})
      const late = yield* ping("-s", silent.address, "--timeout", "100ms")
      assert.match(late.stderr, /^timeout: gave up waiting for an answer after 100ms/)
      assert.strictEqual(late.code, 124)
    })
  )

  it.live("says nothing with --quiet", () =>
    Effect.gen(function* () {
      const gone = yield* Effect.scoped(QueryServer.make)
      const { code, logged, stderr } = yield* ping("-s", gone.address, "--quiet")
      assert.strictEqual(logged + stderr, "")
      assert.strictEqual(code, 2)
    })
  )

  it.live("is the health check of a shell that waits for a server to start", () =>
    Effect.gen(function* () {
      const socket = join(yield* Folder.make, "s")
      const [node, bin] = Dataconn.program
      const script = `echo waiting; until "${node}" "${bin}" ping -s "${socket}" --query 'csv a|'; do echo "not yet: $?"; sleep 0.2; done`
      const shell = yield* Dataconn.run(["-c", script], { program: ["sh"] })
      yield* shell.line(/^not yet: 2$/)
      yield* LiveServer.start(QueryServer.engine, { listen: [`unix:${socket}`] })
      assert.strictEqual(yield* shell.exit, 0)
      assert.match(shell.lines().at(-1) ?? "", /^unix:\/.* answers: .*, the query took /)
    })
  )
})
