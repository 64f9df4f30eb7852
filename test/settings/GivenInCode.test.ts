import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import * as Client from "../../src/client/Client.ts"
import * as ClientPool from "../../src/client/ClientPool.ts"
import * as Rows from "../../src/client/Rows.ts"
import * as DuckDbEngine from "../../src/engine/duckdb/DuckDbEngine.ts"
import * as PolledQuery from "../../src/engine/PolledQuery.ts"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as FramedConnection from "../../src/framing/FramedConnection.ts"
import * as LengthDelimited from "../../src/framing/LengthDelimited.ts"
import * as Gateway from "../../src/gateway/Gateway.ts"
import { Scheduler } from "../../src/loop/TurnScheduler.ts"
import * as Chunk from "../../src/net/Chunk.ts"
import * as Tcp from "../../src/net/Tcp.ts"
import * as Transport from "../../src/net/Transport.ts"
import * as ProcessEngine from "../../src/process/ProcessEngine.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as Recorder from "../../src/recording/Recorder.ts"
import * as ConnectionLog from "../../src/server/ConnectionLog.ts"
import * as Log from "../../src/server/Log.ts"
import { Limit as QueryLimit } from "../../src/server/QueryLimit.ts"
import * as Server from "../../src/server/Server.ts"
import * as Limit from "../../src/settings/Limit.ts"
import * as FaultySocket from "../../src/testing/FaultySocket.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as ScriptedPeer from "../../src/testing/ScriptedPeer.ts"
import * as StepEngine from "../../src/testing/StepEngine.ts"
import * as TestServer from "../../src/testing/TestServer.ts"
import * as ThreadEngine from "../../src/threads/ThreadEngine.ts"
import * as ThreadPool from "../../src/threads/ThreadPool.ts"

/** What only a program without types gives. */
const wrong = (given: unknown): never => given as never

const engine = { init: () => Effect.never }
const module = new URL("file:///nowhere.js")
const run = () => Effect.never
const make = () => wrong({})

type Make = (given: object) => unknown

const layer = (layer: Layer.Layer<never, unknown>) => Effect.scoped(Layer.build(layer))

const framed = Effect.fnUntraced(function* (given: object) {
  const [socket] = yield* MemorySocket.pair()
  const transport = yield* Transport.fromSocket(socket)
  return yield* FramedConnection.make(transport, Message.codec(), { writeTimeoutMillis: 1, ...given })
})

const codec = {
  fieldWidth: 2,
  byteOrder: "big",
  typeBytes: 0,
  lengthCounts: "body",
  maxFrameSize: 9
} as const

/** All constructors that take settings, with one wrong value of each and a misspelt name. */
const constructors: Readonly<
  Record<string, readonly [make: Make, value: object, misspelt: string, meant: string]>
> = {
  Server: [
    (given) => Effect.provideService(Server.make({ listen: [], ...given }), QueryEngine, engine),
    { maxConnections: "10" },
    "maxConections",
    "maxConnections"
  ],
  "reload of a server": [
    (given) =>
      Server.make({ listen: [] }).pipe(
        Effect.flatMap((server) => server.reload(given)),
        Effect.provideService(QueryEngine, engine)
      ),
    { drainTimeout: {} },
    "drainTimout",
    "drainTimeout"
  ],
  Client: [(given) => Client.connect("nowhere:1", given), { metadata: "abc" }, "metdata", "metadata"],
  ClientPool: [
    (given) => ClientPool.connect("nowhere:1", given),
    { metadata: new Map() },
    "waitForRedy",
    "waitForReady"
  ],
  Rows: [
    (given) => Rows.fromResponse(wrong({}), undefined, given),
    { maxRowSize: "1" },
    "maxRows",
    "maxRowSize"
  ],
  Gateway: [
    (given) => Gateway.make({ http: [], backends: { main: ["a:1"] }, ...given }),
    { backends: null },
    "httpHost",
    "httpHosts"
  ],
  "limits of a gateway": [
    (limits) => Gateway.make({ http: [], backends: { main: ["a:1"] }, limits }),
    { maxNesting: 0 },
    "maxNestin",
    "maxNesting"
  ],
  DuckDbEngine: [(given) => DuckDbEngine.make(given), { readWrite: "true" }, "table", "tables"],
  "DuckDB in threads": [ThreadEngine.duckDb, { threads: 1.5 }, "readwrite", "readWrite"],
  "DuckDB in processes": [ProcessEngine.duckDb, { tables: { a: 7 } }, "maxSpil", "maxSpill"],
  ThreadPool: [ThreadPool.make, { threads: 0 }, "thread", "threads"],
  ThreadEngine: [
    (given) =>
      Effect.provideService(
        ThreadEngine.make({ module }, given),
        ThreadPool.ThreadPool,
        ThreadPool.make({ threads: 1 })
      ),
    { title: 7 },
    "cancelgrace",
    "cancelGrace"
  ],
  "the module of ThreadEngine": [
    (given) =>
      Effect.provideService(
        ThreadEngine.make({ module, ...given }),
        ThreadPool.ThreadPool,
        ThreadPool.make({ threads: 1 })
      ),
    { killable: "no" },
    "change",
    "changes"
  ],
  ProcessEngine: [(given) => ProcessEngine.make({ module }, given), { command: [] }, "engine", "engines"],
  "the module of ProcessEngine": [
    (given) => ProcessEngine.make({ module, ...given }),
    { admit: 7 },
    "replacable",
    "replaceable"
  ],
  PolledQuery: [
    (given) => PolledQuery.makeEngine(make, given),
    { pollInterval: Number.NaN },
    "pollIntervall",
    "pollInterval"
  ],
  QueryApi: [
    (given) => QueryApi.makeEngine({ formats: ["text/csv"], run, ...given }),
    { formats: "text/csv" },
    "limit",
    "limits"
  ],
  ConnectionLog: [
    (given) => ConnectionLog.layer({ maxBodyLength: 1, ...given }),
    { maxBodyLength: -1 },
    "logValue",
    "logValues"
  ],
  Recorder: [
    (given) => layer(Recorder.layer(() => {}, given)),
    { maxBodySize: "1" },
    "maxBodysize",
    "maxBodySize"
  ],
  MemorySocket: [MemorySocket.pair, { capacity: Number.NaN }, "capcity", "capacity"],
  FaultySocket: [
    (given) => Effect.map(MemorySocket.pair(), ([socket]) => FaultySocket.make(socket, given)),
    { failAt: "1" },
    "failedAt",
    "failAt"
  ],
  StepEngine: [StepEngine.make, { commits: 1 }, "commit", "commits"],
  ScriptedPeer: [
    (given) => Effect.flatMap(MemorySocket.pair(), ([socket]) => ScriptedPeer.make(socket, given)),
    { patience: {} },
    "patient",
    "patience"
  ],
  TestServer: [
    (given) => Effect.provideService(TestServer.connect(given), QueryEngine, engine),
    { server: 7 },
    "clent",
    "client"
  ],
  FramedConnection: [framed, { skips: 1 }, "frameTimeoutMilis", "frameTimeoutMillis"],
  LengthDelimited: [
    (given) => LengthDelimited.codec({ ...codec, ...given }),
    { fieldWidth: "2" },
    "maxFramesize",
    "maxFrameSize"
  ],
  TurnScheduler: [(given) => new Scheduler(given), { quantum: "1" }, "quantums", "quantum"],
  Tcp: [
    (given) => Tcp.connect({ address: { _tag: "Unix", path: "/nowhere" }, ...given }),
    { address: null },
    "timout",
    "timeout"
  ]
}

/** What is said of settings, thrown or failed with. */
const complaint = (made: () => unknown): Effect.Effect<string> =>
  Effect.suspend(() => {
    const value = made()
    return Effect.isEffect(value)
      ? Effect.matchCause(Effect.scoped(value as Effect.Effect<unknown, Error>), {
          onFailure: (cause) => (Cause.squash(cause) as Error).message,
          onSuccess: () => "nothing"
        })
      : Effect.succeed("nothing")
  }).pipe(
    Effect.provide(Logger.layer([])),
    Effect.catchDefect((defect) => Effect.succeed((defect as Error).message))
  )

describe("settings given in code", () => {
  it.live.each(Object.entries(constructors))("of %s", ([, [make, value, misspelt, meant]]) =>
    Effect.gen(function* () {
      const [name = ""] = Object.keys(value)
      const of = yield* complaint(() => make(value))
      assert.match(of, new RegExp(`\\b${name}\\b.*(, got |: expected )`))
      const unknown = yield* complaint(() => make({ [misspelt]: 1 }))
      const hint = meant === "maxRowSize" || meant === "patience" ? "" : `; did you mean ${meant}\\?`
      assert.match(unknown, new RegExp(`\\b${misspelt} is no setting of .*${hint}$`))
    })
  )

  it.live.each<[string, () => unknown, RegExp]>([
    [
      "an object",
      () => Client.connect("nowhere:1", wrong(null)),
      /settings of a client must be an object, got null/
    ],
    [
      "an object that is awaited",
      () => ThreadPool.make(wrong(Promise.resolve())),
      /an object, got a Promise/
    ],
    ["an address", () => Client.connect(wrong(null)), /address must be HOST:PORT, .* got null/],
    [
      "an address of listen",
      () => Effect.provideService(Server.make({ listen: [wrong(null)] }), QueryEngine, engine),
      /listen must be HOST:PORT, .* got null/
    ],
    [
      "the function of a polled query",
      () => PolledQuery.makeEngine(wrong("abc")),
      /make must be a function, got "abc"/
    ],
    [
      "run of an engine",
      () => QueryApi.makeEngine(wrong({ formats: [] })),
      /run must be a function, got undefined/
    ],
    ["the format of a log", () => Log.layer(wrong("xml")), /format must be one of text, json, got "xml"/],
    [
      "the stream of a log",
      () => layer(Log.layerStream("text", wrong({}), 1)),
      /stream must be a Writable, got an object/
    ],
    ["the file of a recording", () => Recorder.toFile(wrong(7)), /file must be a path, got 7/],
    ["the sink of a recording", () => layer(Recorder.layer(wrong(7))), /write must be a function, got 7/],
    ["an owned chunk", () => Chunk.owned(wrong("a"), () => {}), /must be a Uint8Array, got "a"/],
    [
      "the places of queries",
      () => new QueryLimit(wrong({ maxConcurrentQueries: "3" })),
      /maxConcurrentQueries .* got "3"/
    ],
    [
      "the message of an error",
      () => QueryApi.queryError("internal", wrong(7)),
      /queryError: message: Expected/
    ],
    [
      "an engine",
      () => Effect.provideService(Server.make({ listen: [] }), QueryEngine, wrong({})),
      /init of the QueryEngine: expected a function, got undefined/
    ],
    [
      "what an engine expects",
      () =>
        Effect.provideService(
          Server.make({ listen: [] }),
          QueryEngine,
          wrong({ ...engine, expect: () => 7 })
        ),
      /expect: expected an Effect, got 7/
    ]
  ])("that are not %s are refused by name", ([, make, said]) =>
    Effect.map(complaint(make), (words) => assert.match(words, said))
  )

  it.effect("of a pool may be those of a client too", () =>
    Effect.gen(function* () {
      const settings = { maxConnections: 3, connectTimeout: undefined }
      const client = TestServer.connect({ client: wrong(settings), server: wrong({ maxConnections: 3 }) })
      yield* Effect.provideService(client, QueryEngine, {
        init: () => Effect.succeed({ payload: new Uint8Array(), chunks: Stream.empty })
      })
    }).pipe(Effect.scoped)
  )

  it("are absent where they are undefined", () => {
    const given = { a: undefined, b: undefined }
    assert.strictEqual(Limit.members("nobody", given, ["a"]), given)
  })

  it("say where an address stands", () => {
    const made = Effect.provideService(Server.make({ listen: ["host:"] }), QueryEngine, engine)
    const error = Effect.runSync(Effect.flip(Effect.scoped(made)))
    assert.match(error.message, /^listen: "host:" is no address/)
  })
})

describe("a duration given in code", () => {
  it.each([
    {},
    [],
    new Date(),
    { secs: 1 },
    { seconds: Number.NaN },
    { seconds: "1" },
    [Number.NaN, 1],
    Number.NaN
  ])("is not %j", (given) => {
    assert.throws(() => Limit.duration("lingerTimeout", wrong(given), true), RangeError, /lingerTimeout/)
  })

  it.each([{ seconds: 1 }, [1, 0], 1000, "1 second", 1_000_000_000n, Duration.seconds(1)])(
    "may be %s",
    (given) => {
      assert.strictEqual(Limit.millis("lingerTimeout", wrong(given)), 1000)
    }
  )
})
