import { spawn } from "node:child_process"
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import * as Net from "node:net"
import { dirname, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Address from "../../src/net/Address.ts"
import * as Listener from "../../src/net/Listener.ts"
import * as Folder from "../support/Folder.ts"

const address = (text: string): Address.Address => Result.getOrThrow(Address.parse(text))

/** A listener that greets whoever comes. */
const listen = (where: Address.Address, socketMode?: number) =>
  Listener.make({
    address: where,
    backlog: 16,
    socketMode,
    keepAlive: Duration.minutes(1),
    onConnection: (socket) => socket.end("hello"),
    onAcceptError: () => {}
  })

const where = (to: Address.Address) =>
  to._tag === "Unix" ? { path: to.path } : { host: to.host, port: to.port }

/** What the peer at an address says until it closes, or the code of the error. */
const greeting = (to: Address.Address): Effect.Effect<string> =>
  Effect.callback((resume) => {
    let text = ""
    const socket = Net.connect(where(to))
    socket.on("data", (chunk) => {
      text += chunk
    })
    socket.on("end", () => resume(Effect.succeed(text)))
    socket.on("error", (error) => resume(Effect.succeed((error as NodeJS.ErrnoException).code ?? "")))
    return Effect.sync(() => socket.destroy())
  })

const failure = (where: Address.Address) => Effect.flip(Effect.scoped(listen(where)))

/** What Node remembers of an option of the socket; the system does not tell. */
const option = (socket: Net.Socket, name: string): unknown => {
  const symbol = Object.getOwnPropertySymbols(socket).find(({ description }) => description === name)
  return symbol && (socket as unknown as Record<symbol, unknown>)[symbol]
}

/** The kernel's timer of a connection, as `proc_net_tcp(5)` has it: what for, and after how many hundredths. */
const timer = ({ localPort, remotePort }: Net.Socket): readonly [kind: number, hundredths: number] => {
  const end = (port = 0) => `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`
  const line = readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .find((line) => line.includes(`${end(localPort)} ${end(remotePort)}`))
  const [, kind = "", when = ""] = / (\w\w):(\w{8}) /.exec(line?.split(" 01 ")[1] ?? "") ?? []
  return [Number.parseInt(kind, 16), Number.parseInt(when, 16)]
}

const keepAliveTimer = 2

describe("a listener on TCP", () => {
  it.live("reports the port that the system chose, and accepts", () =>
    Effect.gen(function* () {
      const listener = yield* listen(address("127.0.0.1:0"))
      assert.strictEqual(listener.address._tag, "Tcp")
      assert.notStrictEqual(Address.format(listener.address), "127.0.0.1:0")
      assert.strictEqual(yield* greeting(listener.address), "hello")
    })
  )

  it.live("fails with the address, the setting and the reason if the port is taken", () =>
    Effect.gen(function* () {
      const listener = yield* listen(address("127.0.0.1:0"))
      const error = yield* failure(listener.address)
      assert.strictEqual(error._tag, "ListenError")
      assert.match(error.message, /^Cannot listen on 127\.0\.0\.1:\d+ \(listen\): .*address already in use/)
      assert.strictEqual(yield* greeting(listener.address), "hello")
    })
  )

  it.live("refuses connections once it is stopped, and when its scope has closed", () =>
    Effect.gen(function* () {
      const listener = yield* listen(address("127.0.0.1:0"))
      yield* listener.stop
      assert.strictEqual(yield* greeting(listener.address), "ECONNREFUSED")
      const other = yield* Effect.scoped(listen(address("127.0.0.1:0")))
      assert.strictEqual(yield* greeting(other.address), "ECONNREFUSED")
    })
  )

  it.live("reports what goes wrong with accepting, and goes on", () =>
    Effect.gen(function* () {
      const errors: Array<Error> = []
      const accepted: Array<Net.Socket> = []
      const listener = yield* Listener.make({
        address: address("127.0.0.1:0"),
        backlog: 16,
        keepAlive: Duration.minutes(1),
        onConnection: (socket) => {
          accepted.push(socket)
          socket.end("hello")
        },
        onAcceptError: (error) => errors.push(error)
      })
      yield* greeting(listener.address)
      // Node reports a failed accept in this way.
      const error = new Error("accept EMFILE")
      const { server } = accepted[0] as unknown as { readonly server: Net.Server }
      server.emit("error", error)
      assert.deepStrictEqual(errors, [error])
      assert.strictEqual(yield* greeting(listener.address), "hello")
    })
  )

  it.live("hands over connections paused, with Nagle's algorithm off", () =>
    Effect.gen(function* () {
      const accepted = yield* Deferred.make<Net.Socket>()
      const listener = yield* Listener.make({
        address: address("127.0.0.1:0"),
        backlog: 1,
        keepAlive: Duration.infinity,
        onConnection: (socket) => Deferred.doneUnsafe(accepted, Effect.succeed(socket)),
        onAcceptError: () => {}
      })
      const client = yield* Effect.acquireRelease(
        Effect.sync(() => Net.connect(where(listener.address)).setNoDelay(true)),
        (socket) => Effect.sync(() => socket.destroy())
      )
      client.write("early")
      const socket = yield* Deferred.await(accepted)
      assert.isTrue(socket.isPaused())
      assert.isTrue(option(socket, "kSetNoDelay"))
      assert.strictEqual(
        yield* Effect.callback<string>((resume) => {
          socket.once("data", (chunk) => resume(Effect.succeed(String(chunk))))
          socket.resume()
        }),
        "early"
      )
      socket.destroy()
    })
  )
})

describe.skipIf(process.platform !== "linux")("keepAlive", () => {
  const accept = Effect.fnUntraced(function* (keepAlive: Duration.Duration) {
    const accepted = yield* Deferred.make<Net.Socket>()
    const listener = yield* Listener.make({
      address: address("127.0.0.1:0"),
      backlog: 1,
      keepAlive,
      onConnection: (socket) => Deferred.doneUnsafe(accepted, Effect.succeed(socket)),
      onAcceptError: () => {}
    })
    yield* Effect.acquireRelease(
      Effect.sync(() => Net.connect(where(listener.address))),
      (socket) => Effect.sync(() => socket.destroy())
    )
    const socket = yield* Deferred.await(accepted)
    yield* Effect.addFinalizer(() => Effect.sync(() => socket.destroy()))
    return timer(socket)
  })

  it.live("has the system look for a silent client after that time", () =>
    Effect.gen(function* () {
      const [kind, hundredths] = yield* accept(Duration.minutes(1))
      assert.strictEqual(kind, keepAliveTimer)
      assert.isAbove(hundredths, 0)
      assert.isAtMost(hundredths, 6000)
    })
  )

  it.live("may be off", () => Effect.map(accept(Duration.infinity), ([kind]) => assert.strictEqual(kind, 0)))
})

/** Leaves a socket at the path whose server was killed. */
const leaveStale = (path: string): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const script = `require("node:net").createServer().listen(process.argv[1], () => console.log("listening"))`
    const child = spawn(process.execPath, ["-e", script, path], { stdio: ["ignore", "pipe", "inherit"] })
    child.stdout.once("data", () => child.kill("SIGKILL"))
    child.once("exit", () => resume(Effect.void))
  })

/** A process that has bound a socket and does not listen on it; it is killed with the scope. */
const bind = (folder: string, path: string) =>
  Effect.acquireRelease(
    Effect.callback<() => void>((resume) => {
      const script = `
        const { Pipe, constants } = process.binding("pipe_wrap")
        console.log("bound", new Pipe(constants.SERVER).bind(process.argv[1]))
        setInterval(() => {}, 60_000)`
      const child = spawn(process.execPath, ["--no-deprecation", "-e", script, path], {
        cwd: folder,
        stdio: ["ignore", "pipe", "inherit"]
      })
      child.stdout.once("data", (line) => {
        assert.strictEqual(String(line).trim(), "bound 0")
        resume(Effect.succeed(() => child.kill("SIGKILL")))
      })
    }),
    (kill) => Effect.sync(kill)
  )

describe("a listener on a Unix socket", () => {
  it.live("accepts, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const path = join(yield* Folder.make, "socket")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const listener = yield* listen({ _tag: "Unix", path })
          assert.deepStrictEqual(listener.address, { _tag: "Unix", path })
          assert.strictEqual(yield* greeting(listener.address), "hello")
        })
      )
      assert.isFalse(existsSync(path))
    })
  )

  it.live("takes the place of a socket that a killed server left behind", () =>
    Effect.gen(function* () {
      const path = join(yield* Folder.make, "socket")
      yield* leaveStale(path)
      assert.isTrue(existsSync(path))
      const listener = yield* listen({ _tag: "Unix", path })
      assert.strictEqual(yield* greeting(listener.address), "hello")
    })
  )

  it.live("is one of those that come for such a socket at the same time", () =>
    Effect.gen(function* () {
      for (let round = 0; round < 5; round++) {
        const path = join(yield* Folder.make, "socket")
        yield* leaveStale(path)
        const attempts = yield* Effect.all(
          Array.from({ length: 6 }, () => Effect.exit(listen({ _tag: "Unix", path }))),
          { concurrency: "unbounded" }
        )
        assert.lengthOf(attempts.filter(Exit.isSuccess), 1)
        assert.strictEqual(yield* greeting({ _tag: "Unix", path }), "hello")
        assert.deepStrictEqual(readdirSync(dirname(path)), ["socket"])
      }
    })
  )

  it.live.each([0o600, 0o660, 0o666])(
    "has its permissions whatever the process gives its files: %o",
    (mode) =>
      Effect.gen(function* () {
        const path = join(yield* Folder.make, "socket")
        yield* listen({ _tag: "Unix", path }, mode)
        assert.strictEqual(lstatSync(path).mode & 0o777, mode)
        assert.strictEqual(yield* greeting({ _tag: "Unix", path }), "hello")
        assert.deepStrictEqual(readdirSync(dirname(path)), ["socket"])
      })
  )

  it.live("leaves a socket alone that a newer server has at its path", () =>
    Effect.gen(function* () {
      const unix = { _tag: "Unix", path: join(yield* Folder.make, "socket") } as const
      const scope = yield* Scope.make()
      const older = yield* Scope.provide(listen(unix), scope)
      rmSync(unix.path)
      yield* listen(unix)
      yield* older.stop
      assert.strictEqual(yield* greeting(unix), "hello")
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* greeting(unix), "hello")
    })
  )

  it.live("leaves a file alone that has come to its path, and does not mind if there is none", () =>
    Effect.gen(function* () {
      const path = join(yield* Folder.make, "socket")
      const first = yield* listen({ _tag: "Unix", path })
      rmSync(path)
      writeFileSync(path, "data")
      yield* first.stop
      assert.strictEqual(readFileSync(path, "utf8"), "data")
      rmSync(path)
      const second = yield* listen({ _tag: "Unix", path })
      rmSync(path)
      yield* second.stop
      assert.deepStrictEqual(readdirSync(dirname(path)), [])
    })
  )

  it.live("gives its path up when it is stopped, for the next one", () =>
    Effect.gen(function* () {
      const unix = { _tag: "Unix", path: join(yield* Folder.make, "socket") } as const
      const first = yield* listen(unix)
      yield* first.stop
      assert.isFalse(existsSync(unix.path))
      yield* listen(unix)
      assert.strictEqual(yield* greeting(unix), "hello")
      yield* first.stop
      assert.strictEqual(yield* greeting(unix), "hello")
    })
  )

  it.live("leaves a socket alone that somebody serves", () =>
    Effect.gen(function* () {
      const unix = { _tag: "Unix", path: join(yield* Folder.make, "socket") } as const
      yield* listen(unix)
      assert.match((yield* failure(unix)).message, /address already in use/)
      assert.strictEqual(yield* greeting(unix), "hello")
    })
  )

  it.live("never deletes a file that is no socket", () =>
    Effect.gen(function* () {
      const path = join(yield* Folder.make, "precious")
      writeFileSync(path, "data")
      const error = yield* failure({ _tag: "Unix", path })
      assert.include(error.message, `Cannot listen on unix:${path}`)
      assert.strictEqual(readFileSync(path, "utf8"), "data")
    })
  )

  it.live("says how long the path of its folder may be", () =>
    Effect.gen(function* () {
      const path = `/${"d".repeat(97)}/s`
      const error = yield* failure({ _tag: "Unix", path })
      assert.match(error.message, /\(listen\): the folder .* may have a path of 97 bytes, not 98$/)
    })
  )

  it.live("says what is wrong with a folder that is not there", () =>
    Effect.gen(function* () {
      const error = yield* failure({ _tag: "Unix", path: "/nonexistent/socket" })
      assert.match(error.message, /^Cannot listen on unix:\/nonexistent\/socket \(listen\): /)
    })
  )
})

describe.skipIf(process.platform !== "linux")(
  "a listener on a Unix socket where the system lists them",
  () => {
    it.live.each(["its path", "a relative path", "a link to its folder"])(
      "leaves a socket alone that somebody has bound and does not listen on yet, by %s",
      (name) =>
        Effect.gen(function* () {
          const folder = yield* Folder.make
          const path = join(folder, "socket")
          symlinkSync(folder, join(folder, "link"))
          const bound =
            name === "its path"
              ? path
              : name === "a relative path"
                ? "socket"
                : join(folder, "link", "socket")
          yield* bind(folder, bound)
          assert.strictEqual(yield* greeting({ _tag: "Unix", path }), "ECONNREFUSED")
          const before = lstatSync(path).ino
          assert.match((yield* failure({ _tag: "Unix", path })).message, /address already in use/)
          assert.strictEqual(lstatSync(path).ino, before)
          assert.deepStrictEqual(readdirSync(folder).sort(), ["link", "socket"])
        })
    )
  }
)
