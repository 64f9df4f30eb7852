/**
 * `dataconn query --timeout` against servers that do not let a query end.
 */
import { execFileSync, spawn } from "node:child_process"
import { readdirSync, writeFileSync } from "node:fs"
import * as Net from "node:net"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as QueryDeadline from "../../src/cli/QueryDeadline.ts"
import * as LocalReply from "../../src/server/LocalReply.ts"
import * as Dataconn from "../support/Dataconn.ts"
import * as Folder from "../support/Folder.ts"
import { some } from "../support/Long.ts"
import * as Poll from "../support/Poll.ts"
import { run } from "../support/QueryRun.ts"
import type { Conversation } from "../support/ScriptedServer.ts"
import * as ScriptedServer from "../support/ScriptedServer.ts"

const accept = 'A {"format":"text/csv","queryId":"q"}'

const args = (server: { readonly address: string }, ...more: ReadonlyArray<string>) => [
  "SELECT 1",
  "--server",
  server.address,
  "--format",
  "csv",
  "--timeout",
  "500 millis",
  ...more
]

/** Does something with each request. */
const onRequest = (answer: (conversation: Conversation) => void) => (conversation: Conversation) =>
  conversation.onMessage((letter) => letter === "R" && answer(conversation))

interface Hindrance {
  readonly script: (conversation: Conversation) => void
  readonly phase: string
  readonly stdout?: string
}

const waiting = "waiting for the server to accept the query"
const receiving = "receiving the result"

const hindrances: Record<string, Hindrance> = {
  "reads nothing": { script: ({ socket }) => socket.pause(), phase: waiting },
  "says nothing": { script: onRequest(() => {}), phase: waiting },
  "sends heartbeats in place of an answer": {
    script: ({ forever, send }) => forever(() => send("H")),
    phase: waiting
  },
  "begins an accept that does not end": {
    script: onRequest(({ forever, socket }) => {
      socket.write(Uint8Array.of(0xff, 0xff, 0, 0, 0x41))
      forever(() => socket.write("{"))
    }),
    phase: waiting
  },
  "accepts and sends nothing": { script: onRequest(({ send }) => send(accept)), phase: receiving },
  "accepts and sends heartbeats": {
    script: onRequest(({ forever, send }) => {
      send(accept)
      forever(() => send("H"))
    }),
    phase: receiving
  },
  "stops in the midst of the result": {
    script: onRequest(({ send }) => send(accept, "I a,b")),
    phase: receiving,
    stdout: "a,b"
  },
  "does not acknowledge the cancel, but sends heartbeats": {
    script: onRequest(({ forever, send }) => {
      send(accept, "I a,b")
      forever(() => send("H"))
    }),
    phase: receiving,
    stdout: "a,b"
  },
  "sends empty chunks without an end": {
    script: onRequest(({ forever, send }) => {
      send(accept, "I a,b")
      forever(() => send("I"))
    }),
    phase: receiving,
    stdout: "a,b"
  }
}

describe.concurrent("--timeout ends the command when the server", () => {
  for (const [name, { phase, script, stdout = "" }] of some(Object.entries(hindrances), 3)) {
    it.live(name, () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.make(script)
        const result = yield* run(args(server))
        assert.deepStrictEqual(result.stderr.split("\n"), [
          `timeout: gave up ${phase} after 500ms (--timeout)`,
          ...(stdout === "" ? [] : ["The output is incomplete."])
        ])
        assert.strictEqual(result.stdout, stdout)
        assert.strictEqual(result.code, 124)
      })
    )
  }

  it.live("sends more and more of the result", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.make(
        onRequest(({ forever, send }) => {
          send(accept)
          forever(() => send("I x"))
        })
      )
      const { code, stderr, stdout } = yield* run(args(server))
      assert.match(stdout, /^x+$/)
      assert.match(stderr, /^timeout: gave up receiving the result .*\nThe output is incomplete\.$/)
      assert.strictEqual(code, 124)
    })
  )

  it.live("says itself that the time is over", () =>
    Effect.gen(function* () {
      const error = 'E {"code":"timeout","message":"too slow","retryable":false}'
      const server = yield* ScriptedServer.make(onRequest(({ send }) => send(accept, error)))
      const { code, stderr } = yield* run(args(server))
      assert.strictEqual(stderr, "timeout: too slow")
      assert.strictEqual(code, 124)
    })
  )

  it.live("names settings that the user does not know by those names", () =>
    Effect.gen(function* () {
      const error = `E ${new TextDecoder().decode(LocalReply.body("timeout"))}`
      const server = yield* ScriptedServer.make(onRequest(({ send }) => send(accept, error)))
      const timed = yield* run(args(server))
      assert.match(timed.stderr, /^timeout: .*\(--timeout, queryTimeout\)$/)
      const { stderr } = yield* run(["SELECT 1", "--server", server.address, "--format", "csv"])
      assert.match(stderr, /^timeout: .*\(queryTimeout\)$/)
    })
  )
})

describe.concurrent("--request-timeout", () => {
  it.live("ends a query that the server does not accept in time, and cancels it", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.make((conversation) =>
        conversation.onMessage((letter) => letter === "C" && conversation.send("K"))
      )
      const { code, stderr } = yield* run([
        "SELECT 1",
        "--server",
        server.address,
        "--request-timeout",
        "500 millis"
      ])
      assert.strictEqual(
        stderr,
        `${server.address} did not accept a request within 500 ms (requestTimeout); it was cancelled (see --request-timeout)`
      )
      yield* Poll.until("the cancel arrives", () => server.received() === "RC")
      assert.strictEqual(code, 124)
    })
  )
})

describe.concurrent("a query that took too long", () => {
  it.live("is cancelled on the wire", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.make((conversation) =>
        conversation.onMessage((letter) => conversation.send(...(letter === "R" ? [accept] : ["K"])))
      )
      const { code } = yield* run(args(server))
      assert.strictEqual(server.received(), "RC")
      assert.strictEqual(code, 124)
    })
  )

  it.live("leaves no file", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      const server = yield* ScriptedServer.make(onRequest(({ send }) => send(accept, "I a,b")))
      const { code, stderr } = yield* run(args(server, "--output", join(folder, "result.csv")))
      assert.strictEqual(stderr, "timeout: gave up receiving the result after 500ms (--timeout)")
      assert.deepStrictEqual(readdirSync(folder), [])
      assert.strictEqual(code, 124)
    })
  )

  it.live("says that what went to a pipe is incomplete", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make
      const pipe = join(folder, "pipe")
      execFileSync("mkfifo", [pipe])
      const reader = yield* Dataconn.run([pipe], { program: ["cat"] })
      const server = yield* ScriptedServer.make(onRequest(({ send }) => send(accept, "I a,b\n", "I 1,2\n")))
      const { code, stderr } = yield* run(args(server, "--output", pipe))
      assert.strictEqual(yield* reader.exit, 0)
      assert.deepStrictEqual(reader.lines(), ["a,b", "1,2"])
      assert.strictEqual(
        stderr,
        "timeout: gave up receiving the result after 500ms (--timeout)\nThe output is incomplete."
      )
      assert.strictEqual(code, 124)
    })
  )

  it("has the grace that the help states", () => {
    assert.strictEqual(Duration.toMillis(QueryDeadline.totalGrace), 2000)
  })
})

/** Has the one thread that would look a name up wait for somebody to write to a pipe. */
const stuckLookup = Effect.map(Folder.make, (folder): Dataconn.Options => {
  const pipe = join(folder, "pipe")
  const preload = join(folder, "preload.cjs")
  execFileSync("mkfifo", [pipe])
  writeFileSync(
    preload,
    `require("node:fs").open(${JSON.stringify(pipe)}, "r", () => {})
    const dns = require("node:dns")
    const { lookup } = dns
    dns.lookup = (...args) => {
      console.log("looking up")
      lookup(...args)
    }`
  )
  const [node, bin] = Dataconn.program
  return { program: [node, "--require", preload, bin], env: { UV_THREADPOOL_SIZE: "1" } }
})

describe.concurrent("--timeout ends the process", () => {
  const command = (args: ReadonlyArray<string>, options?: Dataconn.Options) =>
    Dataconn.run(["query", "SELECT 1", "--timeout", "500 millis", ...args], options)

  it.live("while the server is silent", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.make(onRequest(({ send }) => send(accept)))
      const query = yield* command(["--format", "csv", "--server", server.address])
      assert.strictEqual(yield* query.exit, 124)
      assert.match(query.stderr(), /^timeout: gave up receiving the result after 500ms \(--timeout\)\n$/)
    })
  )

  it.live("while a name is being looked up", () =>
    Effect.gen(function* () {
      const query = yield* command(["--server", "localhost:1"], yield* stuckLookup)
      assert.strictEqual(yield* query.exit, 124)
      assert.match(query.stderr(), /^timeout: gave up connecting to localhost:1 after 500ms/)
    })
  )

  it.live("while nobody reads its output", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.make(
        onRequest(({ forever, send }) => {
          send(accept)
          forever(() => send(`I ${"x".repeat(100_000)}`))
        })
      )
      const [node, bin] = Dataconn.program
      const given = [bin, "query", ...args(server)]
      const child = spawn(node, given, { stdio: ["ignore", "pipe", "ignore"] })
      yield* Effect.addFinalizer(() => Effect.sync(() => child.kill("SIGKILL")))
      const code = yield* Effect.callback<number | null>((resume) => {
        child.once("exit", (code) => resume(Effect.succeed(code)))
      })
      assert.strictEqual(code, 124)
    })
  )

  it.live("while nobody opens the pipe that it writes to", () =>
    Effect.gen(function* () {
      const pipe = join(yield* Folder.make, "pipe")
      execFileSync("mkfifo", [pipe])
      const server = yield* ScriptedServer.make(onRequest(({ send }) => send(accept, "F a,b")))
      const query = yield* command(["--format", "csv", "--server", server.address, "--output", pipe])
      assert.strictEqual(yield* query.exit, 124)
      assert.match(query.stderr(), /^timeout: gave up receiving the result after 500ms \(--timeout\)\n$/)
    })
  )

  it.live("while the server's system does not answer", () =>
    Effect.gen(function* () {
      const port = yield* unanswering
      const query = yield* command(["--server", `127.0.0.1:${port}`])
      assert.strictEqual(yield* query.exit, 124)
      assert.match(query.stderr(), /^timeout: gave up connecting to 127\.0\.0\.1:\d+ after 500ms/)
    })
  )
})

describe.concurrent("Ctrl-C ends the process", () => {
  it.live("while a name is being looked up", () =>
    Effect.gen(function* () {
      const query = yield* Dataconn.run(["query", "SELECT 1", "--server", "localhost:1"], yield* stuckLookup)
      yield* query.line(/^looking up$/)
      yield* query.kill("SIGINT")
      assert.strictEqual(yield* query.exit, 130)
      assert.strictEqual(query.stderr(), "")
    })
  )
})

/** A port whose process is stopped and whose queue is full: the system drops what else would connect. */
const unanswering = Effect.gen(function* () {
  const listen = `require("node:net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, function () {
    console.log(this.address().port)
  })`
  const child = spawn(process.execPath, ["-e", listen], { stdio: ["ignore", "pipe", "inherit"] })
  yield* Effect.addFinalizer(() => Effect.sync(() => child.kill("SIGKILL")))
  const port = yield* Effect.callback<number>((resume) => {
    child.stdout.once("data", (text) => resume(Effect.succeed(Number(text))))
  })
  child.kill("SIGSTOP")
  const queued = Array.from({ length: 8 }, () =>
    Net.connect({ port, host: "127.0.0.1" }).on("error", () => {})
  )
  yield* Effect.addFinalizer(() => Effect.sync(() => queued.forEach((socket) => void socket.destroy())))
  yield* Effect.callback<void>((resume) => {
    queued[0]?.once("connect", () => resume(Effect.void))
  })
  return port
})
