/**
 * What `dataconn query` shows on a terminal, and what it writes where there is none.
 */

import { Buffer } from "node:buffer"
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as QueryOutput from "../../src/cli/QueryOutput.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as Dataconn from "../support/Dataconn.ts"
import * as Folder from "../support/Folder.ts"
import { run } from "../support/QueryRun.ts"
import * as ScriptedServer from "../support/ScriptedServer.ts"

/** What could steer a terminal or hide in it, with what is shown in its place. */
const hostile: ReadonlyArray<readonly [string | Uint8Array, string]> = [
  ["\u001b]0;title\u0007", "\\u001b]0;title\\u0007"],
  ["\u001b[2J", "\\u001b[2J"],
  ["\u001bP+q544e\u001b\\", "\\u001bP+q544e\\u001b\\"],
  ["\u009b31m", "\\u009b31m"],
  [Uint8Array.of(0x9d, 0x30, 0x3b, 0x9c), "\\x9d0;\\x9c"],
  ["a\bb\u007f", "a\\u0008b\\u007f"],
  ["whole\rfake", "whole\\rfake"],
  ["\u202eabc\u2066", "\\u202eabc\\u2066"],
  ["a\u200bb\ufeff", "a\\u200bb\\ufeff"],
  ["\u{e0041}", "\\udb40\\udc41"],
  ["a\u2028b", "a\\u2028b"],
  ["é€😀,\tz\r\n", "é€😀,\tz\r\n"]
]

const result = Buffer.concat(hostile.map(([bytes]) => Buffer.from(bytes)))
const shown = hostile.map(([, text]) => text).join("")

const message = "a\u001b[2Jb\u202e\nsecond\u009b line"

const bytes = (letter: string, body: Uint8Array) =>
  Message.encode(Message.make(letter.charCodeAt(0) as Message.Type, body))

/** Sends the result in chunks of one byte, and then its final message. */
const server = (end: "F" | "E") =>
  ScriptedServer.make(({ onMessage, send, socket }) =>
    onMessage((letter) => {
      if (letter !== "R") return
      send('A {"format":"text/csv","queryId":"q"}')
      for (const byte of result) socket.write(bytes("I", Uint8Array.of(byte)))
      const error = { code: "execution_failed", message, retryable: false }
      send(end === "F" ? "F" : `E ${JSON.stringify(error)}`)
    })
  )

const args = ({ address }: { readonly address: string }) => [
  "x",
  "--server",
  address,
  "--format",
  "csv",
  "--csv-crlf"
]

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`

/** What a real terminal gets from the command: standard output and standard error as they come. */
const inTerminal = (args: ReadonlyArray<string>) =>
  Effect.callback<string>((resume) => {
    const command = [...Dataconn.program, "query", ...args].map(quoted).join(" ")
    const options = { encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } } as const
    execFile("script", ["-qec", `stty -opost; ${command}`, "/dev/null"], options, (_, stdout) =>
      resume(Effect.succeed(stdout))
    )
  })

describe("a result", () => {
  it.live("is escaped on a terminal, although its characters come byte by byte", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* inTerminal(args(yield* server("F"))), shown)
    })
  )

  it.live("is escaped on a terminal that --output names", () =>
    Effect.gen(function* () {
      const given = [...args(yield* server("F")), "--output", "/dev/tty"]
      assert.strictEqual(yield* inTerminal(given), shown)
    })
  )

  it.live("goes to a pipe byte for byte", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      const file = join(folder, "result")
      const [node, bin] = Dataconn.program
      const command = [node, bin, "query", ...args(yield* server("F"))].map(quoted).join(" ")
      const shell = yield* Dataconn.run(["-c", `${command} | cat > ${quoted(file)}`], { program: ["sh"] })
      yield* shell.exit
      assert.deepStrictEqual(readFileSync(file), result)
    })
  )

  it.live("goes to a file byte for byte", () =>
    Effect.gen(function* () {
      const file = join(yield* Folder.make, "result")
      const { code } = yield* run([...args(yield* server("F")), "--output", file], { isTerminal: true })
      assert.deepStrictEqual(readFileSync(file), result)
      assert.strictEqual(code, 0)
    })
  )

  it.live("shows the half of a character with which it ends", () =>
    Effect.gen(function* () {
      const half = yield* ScriptedServer.make(({ onMessage, send, socket }) =>
        onMessage(() => {
          send('A {"format":"application/json","queryId":"q"}')
          socket.write(bytes("F", Uint8Array.of(0x61, 0xe2, 0x82)))
        })
      )
      const { stdout } = yield* run(["x", "--server", half.address, "--format", "json"], { isTerminal: true })
      assert.strictEqual(stdout, "a\\xe2\\x82\n")
    })
  )
})

describe("an error", () => {
  const said = "execution_failed: a\\u001b[2Jb\\u202e\nsecond\\u009b line\nThe output is incomplete.\n"

  it.live("is escaped on a terminal", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* inTerminal(args(yield* server("E"))), shown + said)
    })
  )

  it.live("is escaped elsewhere too", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* run(args(yield* server("E")))
      assert.strictEqual(`${stderr}\n`, said)
      assert.strictEqual(code, 1)
    })
  )

  it.live("is shown up to 4096 characters", () =>
    Effect.gen(function* () {
      const rejecting = yield* ScriptedServer.make(({ onMessage, send }) =>
        onMessage(() =>
          send(`J ${JSON.stringify({ code: "invalid_query", message: "x".repeat(5000), retryable: false })}`)
        )
      )
      const { stderr } = yield* run(args(rejecting))
      assert.strictEqual(stderr, `invalid_query: ${"x".repeat(4096)}… (904 more characters)`)
    })
  )

  it.live("points to its place in a query that is escaped", () =>
    Effect.gen(function* () {
      const rejecting = yield* ScriptedServer.make(({ onMessage, send }) =>
        onMessage(() => send('J {"code":"syntax_error","message":"here","retryable":false,"position":3}'))
      )
      const { stderr } = yield* run(["a\u202eb", "--server", rejecting.address])
      assert.deepStrictEqual(stderr.split("\n"), [
        "syntax_error at line 1, column 3: here",
        "  a\\u202eb",
        "         ^"
      ])
    })
  )

  it.live("of a server that announces a gibibyte is refused before it comes", () =>
    Effect.gen(function* () {
      const unlimited: Message.Options = { ...Message.defaultOptions, maxFrameSize: Number.POSITIVE_INFINITY }
      const hostile = yield* ScriptedServer.make(({ onMessage, socket }) =>
        onMessage(() => socket.write(Message.header(unlimited, Message.Type.Reject, 2 ** 30)))
      )
      const { code, stderr } = yield* run(args(hostile))
      assert.match(stderr, /body of 1073741824 bytes, but maxErrorSize is 1048576 bytes/)
      assert.strictEqual(code, 3)
    })
  )

  it.live("of another format than asked for cancels the query", () =>
    Effect.gen(function* () {
      const other = yield* ScriptedServer.make(({ onMessage, send }) =>
        onMessage((letter) =>
          letter === "R" ? send('A {"format":"application/json","queryId":"q"}', "I []") : send("K")
        )
      )
      const { code, stderr, stdout } = yield* run(args(other))
      assert.match(stderr, /^internal: .*format application\/json, but text\/csv was asked for/)
      assert.strictEqual(stdout, "")
      assert.strictEqual(other.received(), "RC")
      assert.strictEqual(code, 1)
    })
  )
})

describe("a pipe whose reader leaves", () => {
  it.effect("is told by the exit code, even if it is known after the last write only", () =>
    Effect.gen(function* () {
      yield* QueryOutput.toStdout(Stream.empty, { onWrite: () => Effect.void })
      const told = Object.assign(new Error("write EPIPE"), { code: "EPIPE" })
      // Where nobody listens, this throws.
      assert.doesNotThrow(() => process.stdout.emit("error", told))
      assert.strictEqual(process.exitCode, 141)
    }).pipe(
      Effect.ensuring(
        Effect.sync(() => {
          process.exitCode = undefined
        })
      ),
      Effect.provide(NodeServices.layer)
    )
  )
})
