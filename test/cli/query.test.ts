import * as NodeServices from "@effect/platform-node/NodeServices"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import { systemError } from "effect/PlatformError"
import { brokenPipe, exitCode, run } from "../support/QueryRun.ts"
import * as QueryServer from "../support/QueryServer.ts"
import * as ServerPeer from "../support/ServerPeer.ts"

const query = (server: { readonly address: string }, ...args: ReadonlyArray<string>) => [
  "--server",
  server.address,
  ...args
]

describe("dataconn query", () => {
  it.live("writes the result's bytes, with a line break at the end of JSON, and nothing else", () =>
    Effect.gen(function* () {
      const server = yield* QueryServer.make
      const { code, stderr, stdout } = yield* run(query(server, "echo"))
      assert.deepStrictEqual(JSON.parse(stdout), {
        query: "echo",
        parameters: [],
        format: "application/json"
      })
      assert.match(stdout, /\}\n$/)
      assert.strictEqual(stderr, "")
      assert.strictEqual(code, 0)
    })
  )

  it.live("passes parameters, format and timeout on", () =>
    Effect.gen(function* () {
      const server = yield* QueryServer.make
      const args = [
        "echo",
        "--param",
        "a=1",
        "-p",
        "b=x=y",
        "--format",
        "arrow",
        "--timeout",
        "30 seconds"
      ].concat(["--metadata", "user=ada", "-m", "token=a=b"])
      const { stdout } = yield* run(query(server, ...args))
      assert.deepStrictEqual(JSON.parse(stdout), {
        query: "echo",
        parameters: { a: 1, b: "x=y" },
        format: "application/vnd.apache.arrow.stream",
        timeout: "30000 millis",
        metadata: { user: "ada", token: "a=b" }
      })
    })
  )

  it.live("says of metadata what is wrong with it", () =>
    Effect.gen(function* () {
      const server = yield* QueryServer.make
      for (const [args, said] of [
        [["-m", "s3cret"], "every entry NAME=VALUE"],
        [["-m", "=s3cret"], "every entry NAME=VALUE"],
        [["-m", "a=s3cret", "-m", "a=s3cret"], "every name once; a was given twice"],
        [["-m", `a=${"s3cret".repeat(2000)}`], "metadata: more than 8192 bytes of names and values"]
      ] as const) {
        const { code, stderr } = yield* run(query(server, "echo", ...args))
        assert.include(stderr, said)
        assert.strictEqual(code, 1)
      }
    })
  )

  it.live("takes a timeout in the short form of the server's settings", () =>
    Effect.gen(function* () {
      const server = yield* QueryServer.make
      const { stdout } = yield* run(query(server, "echo", "--timeout", "30s"))
      assert.strictEqual(JSON.parse(stdout).timeout, "30000 millis")
    })
  )

  it.live("takes a media type for a format", () =>
    Effect.gen(function* () {
      const server = yield* QueryServer.make
      const { stdout } = yield* run(query(server, "echo", "--format", "text/csv"))
      assert.strictEqual(JSON.parse(stdout).format, "text/csv")
    })
  )

  for (const args of [[], ["-"]]) {
    it.live(`reads the query from standard input, given ${args[0] ?? "nothing"}`, () =>
      Effect.gen(function* () {
        const server = yield* QueryServer.make
        const { stdout } = yield* run(query(server, ...args), { stdin: "echo -- é\n" })
        assert.strictEqual(JSON.parse(stdout).query, "echo -- é\n")
      })
    )
  }
})

describe("a failure", () => {
  it.live("of a rejected query shows where it is wrong, and exits with 1", () =>
    Effect.gen(function* () {
      const server = yield* QueryServer.make
      const { code, stderr, stdout } = yield* run(query(server, "reject 13\n\tSELEC 1"))
      assert.deepStrictEqual(stderr.split("\n"), [
        "syntax_error at line 2, column 3: syntax error at or near",
        "  \tSELEC 1",
        "  \t ^"
      ])
      assert.strictEqual(stdout, "")
      assert.strictEqual(code, 1)
    })
  )

  it.live("after a part of the result says that it is incomplete, and exits with 1", () =>
    Effect.gen(function* () {
      const server = yield* QueryServer.make
      const { code, stderr, stdout } = yield* run(query(server, "fail"))
      assert.strictEqual(stderr, "execution_failed: Division by zero\nThe output is incomplete.")
      assert.strictEqual(stdout.length, 100)
      assert.strictEqual(code, 1)
    })
  )

  it.live("to connect names the flag, and exits with 2", () =>
    Effect.gen(function* () {
      // The port of a server that is gone.
      const server = yield* Effect.scoped(QueryServer.make)
      const { code, stderr } = yield* run(query(server, "echo"))
      assert.match(stderr, new RegExp(`^Cannot connect to ${server.address}: .*ECONNREFUSED.*--server\\)$`))
      assert.strictEqual(code, 2)
    })
  )

  it.live("of the connection while the result comes exits with 3", () =>
    Effect.gen(function* () {
      const net = yield* NodeSocketServer.make({ host: "127.0.0.1", port: 0 })
      const breaking = net.run((socket) =>
        Effect.scoped(
          Effect.gen(function* () {
            const peer = yield* ServerPeer.make(socket)
            yield* peer.next
            yield* peer.send('A {"format":"text/csv","queryId":"q"}', "I abc")
          })
        ).pipe(Effect.ignore)
      )
      yield* Effect.forkScoped(breaking)
      const address = `127.0.0.1:${"port" in net.address ? net.address.port : 0}`
      const { code, stderr, stdout } = yield* run(query({ address }, "echo", "--format", "csv"))
      assert.strictEqual(stdout, "abc")
      assert.match(stderr, /^Lost the connection to .*--server\)\nThe output is incomplete\.$/)
      assert.strictEqual(code, 3)
    })
  )

  const usage: Record<string, readonly [ReadonlyArray<string>, RegExp]> = {
    "a wrong address": [["echo", "--server", "nowhere:x"], /--server.*nowhere:x/],
    "a wrong timeout": [["echo", "--timeout", "5 parsecs"], /--timeout.*30 seconds/],
    "parameters of both kinds": [["echo", "-p", "a=1", "-p", "2"], /--param.*"2" has no name/],
    "an unknown format": [["echo", "--format", "xml"], /--format.*xml/]
  }
  for (const [name, [args, expected]] of Object.entries(usage)) {
    it.live(`of usage, ${name}, says what is expected`, () =>
      Effect.gen(function* () {
        const { code, stderr, stdout } = yield* run(args)
        assert.match(stderr, expected)
        assert.strictEqual(stdout, "")
        assert.strictEqual(code, 1)
      })
    )
  }
})

describe("an end before the result's", () => {
  it.live("by interruption cancels the query on the wire, and exits with 130", () =>
    Effect.gen(function* () {
      const server = yield* QueryServer.make
      const started = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        run(query(server, "stuck"), { onChunk: () => Effect.asVoid(Deferred.succeed(started, undefined)) })
      )
      yield* Deferred.await(started)
      const exit = yield* Effect.andThen(Fiber.interrupt(fiber), Fiber.await(fiber))
      yield* server.happened("Cancelled")
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.strictEqual(exitCode(exit), 130)
    })
  )

  it.live("by a closed pipe cancels the query, quietly", () =>
    Effect.gen(function* () {
      const server = yield* QueryServer.make
      const { code, stderr } = yield* run(query(server, "endless"), {
        onChunk: () => Effect.fail(brokenPipe())
      })
      yield* server.happened("Cancelled")
      assert.strictEqual(stderr, "")
      assert.strictEqual(code, 141)
    })
  )

  it.live("by a full disk cancels the query and says so", () =>
    Effect.gen(function* () {
      const server = yield* QueryServer.make
      const full = systemError({
        module: "Stdio",
        method: "stdout",
        _tag: "Unknown",
        cause: new Error("no space left on device")
      })
      const { code, stderr } = yield* run(query(server, "endless"), { onChunk: () => Effect.fail(full) })
      yield* server.happened("Cancelled")
      assert.match(stderr, /^Cannot write to standard output: no space left on device/)
      assert.strictEqual(code, 1)
    })
  )
})

describe("--output", () => {
  const inDirectory = Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped()
    return { fs, directory, file: `${directory}/result.csv` }
  })

  it.live("writes the result to the file, and nothing else stays beside it", () =>
    Effect.gen(function* () {
      const server = yield* QueryServer.make
      const { directory, file, fs } = yield* inDirectory
      yield* fs.writeFileString(file, "old", { mode: 0o600 })
      const { code, stdout } = yield* run(query(server, "echo", "--output", file))
      assert.strictEqual(JSON.parse(yield* fs.readFileString(file)).query, "echo")
      assert.strictEqual((yield* fs.stat(file)).mode & 0o777, 0o600)
      assert.deepStrictEqual(yield* fs.readDirectory(directory), ["result.csv"])
      assert.strictEqual(stdout, "")
      assert.strictEqual(code, 0)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("says which format a file has whose extension is that of none", () =>
    Effect.gen(function* () {
      const server = yield* QueryServer.make
      const { directory } = yield* inDirectory
      const said = (name: string, ...more: ReadonlyArray<string>) =>
        Effect.map(
          run(query(server, "echo", "--output", `${directory}/${name}`, ...more)),
          ({ stderr }) => stderr
        )
      assert.match(yield* said("a.xlsx"), /a\.xlsx: the name says no format, so it is json \(see --format\)$/)
      assert.strictEqual(yield* said("a"), "")
      assert.strictEqual(yield* said("a.xlsx", "--format", "json"), "")
      assert.strictEqual(yield* said("a.xlsx", "--quiet"), "")
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("leaves the file as it was if the query fails", () =>
    Effect.gen(function* () {
      const server = yield* QueryServer.make
      const { directory, file, fs } = yield* inDirectory
      yield* fs.writeFileString(file, "old")
      const { code, stderr } = yield* run(query(server, "fail", "--output", file))
      assert.strictEqual(yield* fs.readFileString(file), "old")
      assert.deepStrictEqual(yield* fs.readDirectory(directory), ["result.csv"])
      assert.strictEqual(stderr, "execution_failed: Division by zero")
      assert.strictEqual(code, 1)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("leaves nothing if it is interrupted", () =>
    Effect.gen(function* () {
      const server = yield* QueryServer.make
      const { directory, file, fs } = yield* inDirectory
      const fiber = yield* Effect.forkChild(run(query(server, "stuck", "--output", file)))
      yield* server.happened("Accepted")
      yield* Fiber.interrupt(fiber)
      yield* server.happened("Cancelled")
      assert.deepStrictEqual(yield* fs.readDirectory(directory), [])
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("keeps a link and replaces the file that it leads to", () =>
    Effect.gen(function* () {
      const server = yield* QueryServer.make
      const { directory, file, fs } = yield* inDirectory
      const link = `${directory}/link`
      yield* fs.writeFileString(file, "old")
      yield* fs.symlink(file, link)
      yield* run(query(server, "echo", "--output", link))
      assert.strictEqual(yield* fs.readLink(link), file)
      assert.strictEqual(JSON.parse(yield* fs.readFileString(file)).query, "echo")
      const [dangling, other] = [`${directory}/dangling`, `${directory}/other`]
      yield* fs.symlink("other", dangling)
      yield* run(query(server, "echo", "--output", dangling))
      assert.strictEqual(yield* fs.readLink(dangling), "other")
      assert.strictEqual(JSON.parse(yield* fs.readFileString(other)).query, "echo")
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("does not put a file in the place of a device", () =>
    Effect.gen(function* () {
      const server = yield* QueryServer.make
      const fs = yield* FileSystem.FileSystem
      const { code } = yield* run(query(server, "echo", "--output", "/dev/null"))
      assert.strictEqual(code, 0)
      assert.strictEqual((yield* fs.stat("/dev/null")).type, "CharacterDevice")
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("that cannot be written is named before anything is sent", () =>
    Effect.gen(function* () {
      const { directory } = yield* inDirectory
      const nowhere = { address: "127.0.0.1:1" }
      for (const [file, said] of [
        [`${directory}/missing/file`, "ENOENT"],
        [directory, "it is a directory"]
      ] as const) {
        const { code, stderr } = yield* run(query(nowhere, "echo", "--output", file))
        assert.include(stderr, `dataconn query: Cannot write to ${file}: ${said}`)
        assert.strictEqual(code, 1)
      }
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
