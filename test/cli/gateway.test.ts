import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Browser from "../../src/browser/index.ts"
import * as Address from "../../src/net/Address.ts"
import * as Failures from "../gateway/Failures.ts"
import * as RowEngine from "../gateway/RowEngine.ts"
import * as Served from "../gateway/Served.ts"
import * as Dataconn from "../support/Dataconn.ts"
import * as Folder from "../support/Folder.ts"
import * as LiveServer from "../support/LiveServer.ts"
import * as Poll from "../support/Poll.ts"

/** Where the gateway answers, once it has started. */
const urlOf = (gateway: Dataconn.Dataconn) =>
  Effect.map(gateway.line(/Opening HTTP socket on /), (line) => `http://${/on (\S+?)\.\.\./.exec(line)?.[1]}`)

describe("dataconn gateway", () => {
  it.live("answers from its back-ends, and a response that it is killed in is seen to be broken", () =>
    Effect.gen(function* () {
      const engine = RowEngine.make()
      const { address } = yield* LiveServer.start(engine.engine)
      const backend = `main=${Address.format(address)}`
      const gateway = yield* Dataconn.run(["gateway", "--http", "127.0.0.1:0", "--backend", backend])
      const url = yield* urlOf(gateway)
      assert.deepInclude((yield* Served.fetched(`${url}/v1/targets`)).json(), {
        targets: [
          {
            name: "main",
            backend: "main",
            addresses: [{ address: Address.format(address), state: "unknown", inFlight: 0 }]
          }
        ]
      })
      // The clients of a gateway that is gone are told nothing, and see it.
      yield* Failures.seen({ url, fail: gateway.kill("SIGKILL") }, { query: "hang 1000" })
      assert.strictEqual(gateway.stderr(), "")
    })
  )

  it.live("reads its tokens again at SIGHUP, and logs queries and back-ends that are gone", () =>
    Effect.gen(function* () {
      const file = join(yield* Folder.make, "tokens.json")
      const write = (token: string) =>
        writeFileSync(file, JSON.stringify({ tokens: [{ name: "alice", token }] }))
      const [first, second] = ["a".repeat(16), "b".repeat(16)] as const
      write(first)
      const backend = `main=${Address.format((yield* LiveServer.start(RowEngine.make().engine)).address)}`
      const places = ["--backend", backend, "--backend", "gone=127.0.0.1:1"]
      const gateway = yield* Dataconn.run([
        "gateway",
        "--http",
        "127.0.0.1:0",
        "--http-tokens",
        file,
        ...places
      ])
      const url = yield* urlOf(gateway)
      const ask = (token: string, target = "main") =>
        Effect.map(
          Served.fetched(`${url}/v1/query?query=rows%203&target=${target}`, {
            headers: { authorization: `Bearer ${token}` }
          }),
          ({ status }) => status
        )
      yield* gateway.line(/Started .*: dataconn \S+, process \d+, back-ends main \(.*\), gone \(/)
      assert.strictEqual(yield* ask(first), 200)
      yield* gateway.line(
        / 127\.0\.0\.1(:\d+)? alice => main \S+ complete \(queryId \S+, .*\d+ bytes, \d+ ms\)$/
      )
      assert.strictEqual(yield* ask(first, "gone"), 503)
      yield* gateway.line(/ alice => gone 127\.0\.0\.1:1 failed \(queryId .*\): backend_unavailable$/)
      yield* Effect.repeat(ask(first, "gone"), { times: 5 })
      yield* gateway.line(/Warn: The back-end gone at 127\.0\.0\.1:1 does not answer: no query goes there/)
      write(second)
      yield* gateway.kill("SIGHUP")
      yield* gateway.line(/ Reloaded: /)
      assert.deepStrictEqual([yield* ask(first), yield* ask(second)], [401, 200])
      writeFileSync(file, "{")
      yield* gateway.kill("SIGHUP")
      yield* gateway.line(/ Not reloaded, everything stays as it was: httpTokens /)
      assert.strictEqual(yield* ask(second), 200)
    })
  )

  it.live.each(["gateway", "serve"])(
    "%s stops for WebSockets and other clients side by side, and at once at the second signal",
    (command) =>
      Effect.gen(function* () {
        const engine = RowEngine.make()
        const backend = `main=${Address.format((yield* LiveServer.start(engine.engine)).address)}`
        const args = command === "serve" ? ["--listen", "127.0.0.1:0"] : ["--backend", backend]
        const running = yield* Dataconn.run([
          command,
          ...["--http", "127.0.0.1:0", "--http-drain-timeout", "1 hour", ...args]
        ])
        const url = `${(yield* urlOf(running)).replace("http", "ws")}/v1/stream`
        yield* running.line(/Started /)
        const tcp = command === "serve" ? yield* LiveServer.dial(yield* running.address) : undefined
        const [idle, busy] = yield* Effect.promise(() =>
          Promise.all([Browser.connect(url), Browser.connect(url)])
        )
        const endless = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b"
        const query = busy.query({ query: command === "serve" ? endless : "stuck" })
        if (command === "serve") yield* Effect.promise(() => query.accepted)
        else yield* Poll.until("it runs", () => engine.begun() === 1)
        yield* running.kill("SIGTERM")
        assert.match(yield* Effect.promise(() => idle.closed), /^shutting_down/)
        if (tcp !== undefined) {
          assert.match((yield* tcp.closed).toString(), /"shutting_down"/)
          const next = yield* Effect.flip(Effect.flatMap(running.address, (to) => LiveServer.dial(to)))
          assert.match(next.message, /ECONNREFUSED/)
        }
        assert.isTrue(running.running())
        yield* running.kill("SIGTERM")
        const error = yield* Effect.promise(() => query.text().catch((error: Browser.QueryError) => error))
        assert.deepInclude(error, { code: "shutting_down", retryable: true })
        assert.match(yield* Effect.promise(() => busy.closed), /^shutting_down/)
        assert.strictEqual(yield* running.exit, 0)
      })
  )

  it.live("says what is wrong with what it was told", () =>
    Effect.gen(function* () {
      const wrong = [
        [[], /--backend: expected at least one back-end/],
        [["--http-origins", "htp:/x"], /--http-origins: expected origins such as https:/],
        [["--http-hosts", "a:80"], /--http-hosts: expected names of hosts/],
        [["--backend", "a=127.0.0.1:x"], /--backend a: .*127\.0\.0\.1:x.* the port is not a number/],
        [
          ["--backend", "a=127.0.0.1:1", "--http-rules", "/nowhere.json"],
          /httpRules \/nowhere\.json: there is no such file/
        ]
      ] as const
      yield* Effect.forEach(
        wrong,
        Effect.fnUntraced(function* ([args, problem]) {
          const gateway = yield* Dataconn.run(["gateway", "--http", "127.0.0.1:0", ...args])
          assert.strictEqual(yield* gateway.exit, 1)
          assert.match(gateway.stderr(), problem)
          assert.strictEqual(gateway.stderr().trimEnd().split("\n").length, 1)
        }),
        { concurrency: 2, discard: true }
      )
    })
  )
})
