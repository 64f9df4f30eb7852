import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Server from "../../src/server/Server.ts"
import * as ServerConfig from "../../src/server/ServerConfig.ts"
import * as Settings from "../../src/server/Settings.ts"
import { failure } from "../support/Failure.ts"
import * as TinyEngine from "../support/TinyEngine.ts"

const read = (settings: Record<string, unknown>) =>
  ServerConfig.config.parse(ConfigProvider.fromUnknown(settings))

const problem = (settings: Record<string, unknown>) =>
  Effect.map(Effect.flip(read(settings)), (error) => error.message)

const names = Object.keys(ServerConfig.settings) as Array<keyof typeof ServerConfig.settings>

describe("the settings", () => {
  it.effect("have their defaults where nothing is given", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* read({}), ServerConfig.defaults)
      assert.deepStrictEqual(ServerConfig.defaults.listen, ["127.0.0.1:11653"])
      assert.deepStrictEqual(ServerConfig.make(), ServerConfig.defaults)
    })
  )

  it("do not differ from those of a connection on its own", () => {
    const { lengthCounts, heartbeatInterval, ...rest } = Settings.defaults
    assert.strictEqual(ServerConfig.defaults.lengthCounts, lengthCounts)
    assert.strictEqual(
      Duration.toMillis(ServerConfig.defaults.heartbeatInterval),
      Settings.millis(heartbeatInterval)
    )
    for (const [name, value] of Object.entries(rest)) {
      const own = ServerConfig.defaults[name as keyof typeof rest]
      assert.strictEqual(
        Duration.isDuration(own) ? Duration.toMillis(own) : own,
        typeof value === "number" ? value : Settings.millis(value),
        name
      )
    }
  })

  it.effect.each(names)("%s reads its default back from its documentation", (name) =>
    Effect.gen(function* () {
      const config = yield* read({ [name]: ServerConfig.settings[name].fallbackText })
      assert.deepStrictEqual(config, ServerConfig.defaults)
    })
  )

  it.effect.each([
    ["drainTimeout", "5 seconds", 5000],
    ["drainTimeout", "5s", 5000],
    ["drainTimeout", "5 sec", 5000],
    ["drainTimeout", "5", 5000],
    ["drainTimeout", 5, 5000],
    ["drainTimeout", "1.5 h", 5_400_000],
    ["drainTimeout", "250ms", 250],
    ["drainTimeout", "2 minutes", 120_000],
    ["drainTimeout", "Infinity", Number.POSITIVE_INFINITY]
  ] as const)("%s %s is a duration", ([name, text, millis]) =>
    Effect.gen(function* () {
      assert.strictEqual(Duration.toMillis((yield* read({ [name]: text }))[name]), millis)
    })
  )

  it.effect.each([
    ["maxFrameSize", "64 KiB", 65_536],
    ["maxFrameSize", "64 kB", 64_000],
    ["maxFrameSize", "64KB", 64_000],
    ["maxFrameSize", "64kib", 65_536],
    ["maxFrameSize", "1.5 mb", 1_500_000],
    ["maxFrameSize", "65536", 65_536],
    ["maxFrameSize", 65_536, 65_536],
    ["maxFrameSize", "5", 5],
    ["maxConnections", 7, 7],
    ["maxConnections", "7", 7],
    ["maxQueuedQueries", "0", 0],
    ["maxConnectionsPerAddress", "20", 20],
    ["maxQueriesPerAddress", 1, 1],
    ["maxQueriesPerAddress", "Infinity", Number.POSITIVE_INFINITY],
    ["maxUnfinishedBytes", "1 GiB", 1_073_741_824],
    ["socketMode", "0660", 0o660],
    ["socketMode", "0o600", 0o600],
    ["socketMode", "777", 0o777],
    ["socketMode", 660, 0o660],
    ["lengthCounts", "frame", "frame"]
  ] as const)("%s %s is read", ([name, given, value]) =>
    Effect.gen(function* () {
      assert.strictEqual((yield* read({ [name]: given }))[name], value)
    })
  )

  it.effect.each([
    ["maxConnections", "0", "a whole number of at least 1"],
    ["maxConnections", "-1", "a whole number of at least 1"],
    ["maxConnections", "1.5", "a whole number of at least 1"],
    ["maxConcurrentQueries", "many", "a whole number of at least 1"],
    ["maxQueuedQueries", "-1", "a whole number of at least 0"],
    ["backlog", "0x10", "a whole number of at least 1"],
    ["maxConnectionsPerAddress", "0", "a whole number of at least 1, or Infinity"],
    ["maxQueriesPerAddress", "1.5", "a whole number of at least 1, or Infinity"],
    ["maxQueriesPerAddress", "none", "a whole number of at least 1, or Infinity"],
    ["maxUnfinishedBytes", "4", "a size of at least 5 B"],
    ["socketMode", "0888", "three octal digits, such as 0660"],
    ["socketMode", "4660", "three octal digits, such as 0660"],
    ["socketMode", "rw", "three octal digits, such as 0660"],
    ["firstRequestTimeout", "0 seconds", "a duration longer than zero"],
    ["queueTimeout", "never", "a duration longer than zero"],
    ["heartbeatInterval", "5 parsecs", "a duration longer than zero"],
    ["heartbeatInterval", "0", "a duration longer than zero"],
    ["heartbeatInterval", "0 seconds", "a duration longer than zero"],
    ["writeTimeout", "-1 seconds", "a duration longer than zero"],
    ["idleTimeout", "soon", "a duration longer than zero"],
    ["maxFrameSize", "4", "a size of at least 5 B"],
    ["chunkSize", "0", "a size of at least 1 B"],
    ["batchSize", "much", "a size of at least 1 B"],
    ["lengthCounts", "bits", `"body" | "typeAndBody" | "frame"`]
  ] as const)("%s %s is refused by name", ([name, text, expected]) =>
    Effect.gen(function* () {
      const message = yield* problem({ [name]: text })
      assert.include(message, `["${name}"]`)
      assert.include(message, `Expected ${expected}`)
    })
  )
})

describe("make", () => {
  it("takes a duration in any of Effect's forms, and the default for what is left out", () => {
    const given = {
      drainTimeout: "5 seconds",
      idleTimeout: 250,
      maxConnections: 3,
      backlog: undefined
    } as const
    assert.deepStrictEqual(ServerConfig.make(given), {
      ...ServerConfig.defaults,
      drainTimeout: Duration.seconds(5),
      idleTimeout: Duration.millis(250),
      maxConnections: 3
    })
  })
})

describe("make, of what is no limit,", () => {
  it.each([
    ["maxConnections", 0, "a whole number of at least 1"],
    ["maxConcurrentQueries", 1.5, "a whole number of at least 1"],
    ["maxQueuedQueries", -1, "a whole number of at least 0"],
    ["maxQueuedQueries", Number.POSITIVE_INFINITY, "a whole number of at least 0"],
    ["maxConnectionsPerAddress", 0, "a whole number of at least 1, or Infinity"],
    ["maxQueriesPerAddress", Number.NaN, "a whole number of at least 1, or Infinity"],
    ["maxUnfinishedBytes", 4, "a size of at least 5 B"],
    ["socketMode", 0o1000, "three octal digits, such as 0660"],
    ["firstRequestTimeout", 0, "a duration longer than zero"],
    ["queueTimeout", -1, "a duration longer than zero"],
    ["heartbeatInterval", 0, "a duration longer than zero"],
    ["writeTimeout", Number.NaN, "a duration longer than zero"],
    ["idleTimeout", "soon", 'a duration longer than zero, such as "5 seconds" or 5000 (milliseconds)'],
    ["drainTimeout", -1, "a duration of zero or more"],
    ["maxFrameSize", 4, "a size of at least 5 B"],
    ["chunkSize", 0, "a size of at least 1 B"],
    ["lengthCounts", "x", "one of body, typeAndBody, frame"],
    ["listen", "127.0.0.1:0", "a list"]
  ])("names the setting: %s %s", (name, given, expected) => {
    assert.throws(
      () => ServerConfig.make({ [name]: given }),
      RangeError,
      `${name} must be ${expected}, got ${typeof given === "string" ? JSON.stringify(given) : given}`
    )
  })

  it.effect("is the defect of a server's layer", () =>
    Effect.gen(function* () {
      const engine = Layer.succeed(QueryEngine, TinyEngine.make().engine)
      const exit = yield* Effect.exit(
        Effect.scoped(Layer.build(Layer.provide(Server.layer({ listen: [], chunkSize: 0 }), engine)))
      )
      assert.strictEqual(failure(exit), "RangeError: chunkSize must be a size of at least 1 B, got 0")
    })
  )

  it.effect("lets a drain take no time, in code or in text", () =>
    Effect.gen(function* () {
      assert.isTrue(Duration.isZero(ServerConfig.make({ drainTimeout: 0 }).drainTimeout))
      assert.isTrue(Duration.isZero((yield* read({ drainTimeout: "0 seconds" })).drainTimeout))
    })
  )
})

describe("listen", () => {
  it.effect("is a list, or text with commas", () =>
    Effect.gen(function* () {
      const listen = ["127.0.0.1:1", "unix:/x"]
      assert.deepStrictEqual((yield* read({ listen })).listen, listen)
      assert.deepStrictEqual((yield* read({ listen: listen.join(",") })).listen, listen)
    })
  )

  it.effect("refuses what is no address", () =>
    Effect.gen(function* () {
      assert.include(
        yield* problem({ listen: ["127.0.0.1:1", "127.0.0.1:99999"] }),
        "the port is above 65535"
      )
    })
  )
})

describe("a server's own source of settings", () => {
  const load = (env: Record<string, string>) =>
    Effect.provideService(ServerConfig.load, ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))

  it.effect("may name them as a file does, or as the environment does, and the former comes first", () =>
    Effect.gen(function* () {
      const config = yield* load({
        maxConnections: "9",
        DATACONN_MAX_CONNECTIONS: "10",
        DATACONN_HEARTBEAT_INTERVAL: "3 seconds",
        DATACONN_LISTEN: "[::1]:1,unix:/x",
        MAX_CONCURRENT_QUERIES: "11"
      })
      assert.deepStrictEqual(
        config,
        ServerConfig.make({
          heartbeatInterval: Duration.seconds(3),
          maxConnections: 9,
          listen: ["[::1]:1", "unix:/x"]
        })
      )
    })
  )

  it.effect("is named when a value is none", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(load({ DATACONN_MAX_CONNECTIONS: "many" }))
      assert.match(error.message, /Expected a whole number of at least 1, got "many"/)
      assert.match(error.message, /"DATACONN_MAX_CONNECTIONS"/)
      assert.match((yield* Effect.flip(load({ maxConnections: "many" }))).message, /"maxConnections"/)
    })
  )
})

describe("the environment", () => {
  it.effect("has a warning where it seems misspelt, and only there", () =>
    Effect.gen(function* () {
      const said: Array<unknown> = []
      const logger = Logger.make(({ message }) => void said.push(...[message].flat()))
      process.env["DATACONN_MAX_CONECTIONS"] = "7"
      process.env["DATACONN_OF_ANOTHER_PART"] = "7"
      yield* Effect.provide(ServerConfig.load, Logger.layer([logger]))
      assert.deepStrictEqual(said, [
        "No setting has the name of DATACONN_MAX_CONECTIONS (did you mean DATACONN_MAX_CONNECTIONS?)"
      ])
    }).pipe(
      Effect.ensuring(
        Effect.sync(() => {
          delete process.env["DATACONN_MAX_CONECTIONS"]
          delete process.env["DATACONN_OF_ANOTHER_PART"]
        })
      )
    )
  )

  it.effect("names settings in capitals after DATACONN", () =>
    Effect.gen(function* () {
      const config = yield* ServerConfig.config.parse(
        ServerConfig.fromEnv({
          DATACONN_HEARTBEAT_INTERVAL: "3 seconds",
          DATACONN_MAX_CONNECTIONS: "9",
          DATACONN_LISTEN: "[::1]:1,unix:/x",
          MAX_CONNECTIONS: "10",
          // What Kubernetes sets for a service named dataconn must not be taken for settings.
          DATACONN_SERVICE_HOST: "10.0.0.1",
          DATACONN_PORT: "tcp://10.0.0.1:11653"
        })
      )
      assert.deepStrictEqual(
        config,
        ServerConfig.make({
          heartbeatInterval: Duration.seconds(3),
          maxConnections: 9,
          listen: ["[::1]:1", "unix:/x"]
        })
      )
    })
  )
})
