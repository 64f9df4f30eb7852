/**
 * The debugger, recordings and replays on a real server, and their commands in processes of their own.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as DebugLoop from "../../src/cli/debug/DebugLoop.ts"
import * as Step from "../../src/cli/debug/Step.ts"
import type { Observe } from "../../src/cli/RecordFlags.ts"
import * as Replay from "../../src/cli/replay/Replay.ts"
import { plain } from "../../src/cli/terminal/Style.ts"
import * as Address from "../../src/net/Address.ts"
import * as Plan from "../../src/recording/Plan.ts"
import * as Recorder from "../../src/recording/Recorder.ts"
import * as Recording from "../../src/recording/Recording.ts"
import * as Dataconn from "../support/Dataconn.ts"
import * as Folder from "../support/Folder.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as QueryServer from "../support/QueryServer.ts"
import * as ScriptedServer from "../support/ScriptedServer.ts"

const kept: Recording.Header = { values: "kept", lengthCounts: "body" }

/** Does the steps, and gives what was shown and what an observer has recorded. */
const debug = Effect.fnUntraced(function* (server: Address.Address, ...steps: ReadonlyArray<string>) {
  const shown: Array<string> = []
  const entries: Array<Recording.Entry> = []
  const observe: Observe = yield* Recorder.observers(
    (event) => void entries.push(Recording.entry(event, kept))
  )
  const lines = Result.getOrThrow(Step.script(steps.join("\n")))
  const exit = yield* Effect.exit(
    DebugLoop.script(lines, {
      ...DebugLoop.defaults(server),
      heartbeats: false,
      style: plain,
      print: (text) => void shown.push(text),
      observe
    })
  )
  return { exit, shown, recording: { header: kept, entries } }
})

/** Direction and type of what was shown. */
const letters = (shown: ReadonlyArray<string>): string =>
  shown.flatMap((line) => /^ +\d+\.\d{3} s {2}([→←] \S+) /.exec(line)?.[1] ?? []).join(" ")

const differences = (server: Address.Address, recording: Recording.Recording) =>
  Effect.gen(function* () {
    const options = { server, header: recording.header, timeout: Duration.seconds(10), keepsPace: false }
    const plans = Result.getOrThrow(Plan.make(recording))
    const outcomes = yield* Effect.forEach(plans, (plan) => Replay.play(plan, options))
    return outcomes.flatMap(({ differences }) => differences)
  })

const start: Effect.Effect<Address.Address, never, Scope.Scope> = Effect.map(
  LiveServer.start(QueryServer.engine, { requestTimeout: "5 seconds" }),
  ({ address }) => address
)

describe("the debugger", () => {
  it.live("sends frames by hand, in pieces and illegal ones, and a recording of that is played again", () =>
    Effect.gen(function* () {
      const server = yield* start
      const { exit, recording, shown } = yield* debug(
        server,
        "pieces 5 1ms query echo",
        "await terminal",
        "R nonsense",
        "expect A",
        "expect F",
        "expect J bad_request",
        "query endless",
        "await data",
        "C",
        "await terminal",
        "frame z hex:00ff",
        "await closed",
        "connect",
        "half-close",
        "await closed",
        "connect",
        "query stuck",
        "await data",
        "stop-reading",
        "reset",
        "connect",
        "query fail",
        "leave"
      )
      assert.deepStrictEqual(exit._tag, "Success", String(exit))
      assert.strictEqual(
        // How many chunks come before a cancel is up to chance.
        letters(shown).replaceAll("← I ", ""),
        "→ R ← A ← F → R ← J → R ← A → C ← K → z ← ── → ── → ── ← ── → R ← A → ── → R → ──"
      )
      assert.deepStrictEqual(yield* differences(server, recording), [])
    })
  )

  it.live("fails with the line of a step that fails, and without a connection", () =>
    Effect.gen(function* () {
      const server = yield* start
      const { exit } = yield* debug(server, "# what comes", "query echo", "expect A", "expect K")
      assert.match(String(exit), /line 4: expected K, but got F/)
      assert.match(
        String((yield* debug(Address.tcp("127.0.0.1", 1), "C")).exit),
        /Cannot connect to 127\.0\.0\.1:1/
      )
    })
  )

  it.live("finds answers that are others now, and one that does not come", () =>
    Effect.gen(function* () {
      const [before, after] = [
        yield* start,
        yield* ScriptedServer.make(({ onMessage, send }) => onMessage(() => send("A {}", "F")))
      ]
      const { recording } = yield* debug(
        before,
        "query echo",
        "await terminal",
        "query reject 1",
        "await terminal"
      )
      const found = yield* differences(Result.getOrThrow(Address.parse(after.address)), recording)
      assert.deepStrictEqual(
        found.map(({ request, what }) => [request, what]),
        [
          [1, "format of the accept"],
          [1, "bytes of the result"],
          [2, "the response ends with"]
        ]
      )
      const rejecting = yield* ScriptedServer.make(({ onMessage, send }) => onMessage(() => send("J {}")))
      const rejected = yield* differences(Result.getOrThrow(Address.parse(rejecting.address)), recording)
      assert.deepStrictEqual(rejected.map(({ now, request, what }) => [request, what, now]).slice(0, 2), [
        [1, "the response ends with", "J (Reject Request)"],
        [2, "code of the error", "nothing"]
      ])
      const silent = yield* ScriptedServer.make(() => {})
      const [plan] = Result.getOrThrow(Plan.make(recording))
      if (plan === undefined) return assert.fail("no plan")
      const { differences: late } = yield* Replay.play(plan, {
        server: Result.getOrThrow(Address.parse(silent.address)),
        header: kept,
        timeout: Duration.millis(20),
        keepsPace: false
      })
      assert.deepInclude(late[0], {
        request: 1,
        what: "the answer",
        now: "did not come within 20ms (--timeout)"
      })
    })
  )
})

describe("the commands", () => {
  it.live("record and play, and let nothing of a hostile server reach the terminal as it is", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      const [script, before, debugged, queried] = ["script", "before", "debugged", "queried"].map((name) =>
        join(folder, name)
      ) as [string, string, string, string]
      let code = "first\\u001b[2J"
      const { address } = yield* ScriptedServer.make(({ onMessage, send }) =>
        onMessage(() => send(`J {"code":"${code}","message":"\\u001b]0;x\u0007"}`))
      )
      const server = Result.getOrThrow(Address.parse(address))
      const { recording } = yield* debug(server, "R 'secret'", "await terminal")
      writeFileSync(before, Recording.format(recording))
      writeFileSync(script, "R 'secret'\nawait terminal\n")
      code = "second\u202e"
      const run = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
        const command = yield* Dataconn.run([...args, "--server", address])
        return { code: yield* command.exit, out: command.lines().join("\n"), err: command.stderr() }
      })
      const results = yield* Effect.all(
        [
          run("replay", before),
          run("debug", "--script", script, "--max-bytes", "64 KiB", "--record", debugged, "--record-values"),
          run("query", "SELECT 'secret'", "--record", queried)
        ],
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        results.map(({ code }) => code),
        [4, 0, 1]
      )
      const [replay, debugging, query] = results
      assert.match(replay.err, /^1 request on 1 connection played on 127\S+: 1 difference\.$/m)
      assert.match(replay.out, /^connection 1, request 1: the (response ends with|body of the error): /)
      assert.match(debugging.out, /← J {2}Reject Request .*second\\u202e/)
      assert.strictEqual(debugging.err, `Recorded to ${debugged}, with values.\n`)
      assert.include(readFileSync(debugged, "utf8"), "secret")
      assert.include(query.err, "without values (--record-values keeps them)")
      assert.notInclude(readFileSync(queried, "utf8"), "secret")
      for (const { err, out } of results) assert.notMatch(`${err}${out}`, /[^\P{Cc}\n]|\u202e/u)
    })
  )
})
