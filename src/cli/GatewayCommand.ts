/**
 * `dataconn gateway`: HTTP and WebSocket outside, back-ends inside.
 */
import * as Config from "effect/Config"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"
import * as Limits from "../engine/Limits.ts"
import * as GatewayConfig from "../gateway/GatewayConfig.ts"
import * as Address from "../net/Address.ts"
import * as FreeMemory from "../process/FreeMemory.ts"
import * as Log from "../server/Log.ts"
import * as Printable from "../server/Printable.ts"
import * as ServerConfig from "../server/ServerConfig.ts"
import * as Setting from "../server/Setting.ts"
import * as Signals from "../server/Signals.ts"
import * as BrokenPipe from "./BrokenPipe.ts"
import * as ConfigSources from "./ConfigSources.ts"
import * as Descriptors from "./Descriptors.ts"
import * as GatewayFlags from "./GatewayFlags.ts"
import * as Heap from "./Heap.ts"
import * as ServeConfig from "./ServeConfig.ts"
import * as ServerLog from "./ServerLog.ts"
import * as ServiceManager from "./ServiceManager.ts"
import * as CommandSignals from "./Signals.ts"
import * as User from "./User.ts"
import * as Version from "./Version.ts"

/** A back-end that is not NAME=ADDRESS,…, or whose name is repeated. */
export class BackendError extends Schema.TaggedError<BackendError>()("BackendError", {
  /** `--backend` or the setting. */
  written: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `${this.written}: ${this.problem}`
  }
}

const { allowRoot, logFormat, logLevel, maxNesting, maxParameters, maxQueryLength, user } =
  ServeConfig.settings

/** Every setting that has its own flag. */
const table = {
  ...GatewayConfig.settings,
  socketMode: ServerConfig.settings.socketMode,
  maxQueryLength,
  maxParameters,
  maxNesting,
  user,
  allowRoot,
  logFormat,
  logLevel
} as const

const { logLevel: _, ...tableFlags } = ConfigSources.flagsOf(table)

const flags = {
  ...tableFlags,
  http: GatewayFlags.http,
  backend: Flag.String("backend").pipe(
    Flag.withMetavar("name=address,…"),
    Flag.withDescription(
      "A back-end by its name, with one address or several: HOST:PORT, [IPv6]:PORT or unix:PATH; may be given " +
        "several times. The first one answers requests that name no target."
    ),
    Flag.atLeast(0)
  ),
  config: ConfigSources.fileFlag
}

const backendsConfig = Config.Record(Schema.String, Schema.NonEmptyString, "backends")

const config = Config.all([
  Setting.config(table),
  GatewayConfig.http.pipe(Config.withDefault(GatewayConfig.defaultHttp)),
  backendsConfig.pipe(Config.withDefault({}))
])

const known: ConfigSources.Known = {
  table,
  others: {
    http: ConfigSources.addresses,
    backends: {
      is: Schema.is(Schema.Record(Schema.String, Schema.String)),
      form: "an object of addresses by name, with commas between those of one name"
    }
  }
}

/** The back-ends of `--backend`, in the form of the setting `backends`. */
const given = Effect.fnUntraced(function* (texts: ReadonlyArray<string>) {
  const all = new Map<string, string>()
  for (const text of texts) {
    const at = text.indexOf("=")
    const fail = (problem: string) => new BackendError({ written: `--backend ${text}`, problem })
    if (at < 1 || at === text.length - 1) return yield* fail("expected NAME=ADDRESS or NAME=ADDRESS,ADDRESS")
    const name = text.slice(0, at)
    if (all.has(name)) return yield* fail(`${name} is given twice`)
    all.set(name, text.slice(at + 1))
  }
  return Object.fromEntries(all)
})

/** The addresses of one back-end. */
const addressesOf = Effect.fnUntraced(function* ([name, text]: readonly [string, string]) {
  const addresses = text.split(",").map((address) => address.trim())
  for (const address of addresses) {
    yield* Effect.mapError(
      Effect.fromResult(Address.parse(address)),
      ({ message }) => new BackendError({ written: `--backend ${name}`, problem: message })
    )
  }
  return [name, addresses] as const
})

type Given = Command.Command.Config.Infer<typeof flags>

const resolve = Effect.fnUntraced(function* ({ backend, config: file, http, ...settings }: Given) {
  const {
    values: [values, listen, backends],
    warn
  } = yield* ConfigSources.load(config, {
    given: {
      ...Record.getSomes(settings),
      ...(http.length > 0 ? { http } : {}),
      ...(backend.length > 0 ? { backends: yield* given(backend) } : {}),
      ...(yield* ServerLog.given)
    },
    file,
    known,
    idle: ([, http]) => ServeConfig.idleMode(http)
  })
  const problem = GatewayConfig.problemOfBackends(Object.keys(backends))
  if (problem !== undefined) return yield* new BackendError({ written: "--backend", problem })
  const addresses = yield* Effect.forEach(Object.entries(backends), addressesOf)
  return {
    options: {
      ...values,
      http: listen,
      limits: Limits.among(values),
      backends: Object.fromEntries(addresses)
    },
    warn
  }
})

/** The process and its back-ends, in words. */
const described = ({
  backends,
  httpRules,
  httpTokens
}: Effect.Success<ReturnType<typeof resolve>>["options"]): string => {
  const all = Object.entries(backends).map(([name, addresses]) => `${name} (${addresses.join(", ")})`)
  const who = httpTokens === undefined ? "for everybody" : `for the tokens of ${httpTokens}`
  const rules = httpRules === undefined ? "" : `, by the rules of ${httpRules}`
  return Printable.line(
    `dataconn ${Version.version}, process ${process.pid}, back-ends ${all.join(", ")}; ${who}${rules}`
  )
}

/** Reads the files named by settings again, and logs the outcome. */
const reloading = <E extends { readonly message: string }>(reload: Effect.Effect<void, E>) =>
  Effect.matchEffect(reload, {
    onSuccess: () => ServerLog.step("Reloaded: the files of httpTokens and httpRules"),
    onFailure: ({ message }) => Effect.logError(`Not reloaded, everything stays as it was: ${message}`)
  })

const run = Effect.fnUntraced(function* (flags: Given) {
  yield* Heap.keepYoung
  yield* BrokenPipe.isSurvived
  const { options, warn } = yield* resolve(flags)
  yield* User.leaveRoot(options, User.beyond(options.http))
  let stopNow: Effect.Effect<void> = Effect.void
  yield* Signals.onSecond(Effect.suspend(() => stopNow))
  yield* Signals.quits
  const hangup = yield* Signals.hangups
  // Loaded only here: other commands do not need it.
  const Gateway = yield* Effect.promise(() => import("../gateway/Gateway.ts"))
  const running = Effect.gen(function* () {
    const gateway = yield* Gateway.make(
      ServeConfig.among(yield* Descriptors.fitGateway(options), GatewayConfig.names)
    )
    stopNow = gateway.stopNow
    yield* ServerLog.opened("HTTP", gateway.addresses)
    yield* ServerLog.step(`Started (send SIGINT or SIGTERM to exit): ${described(options)}`)
    // A server may have the same environment.
    yield* ConfigSources.warnOfStrays(ServeConfig.known)
    yield* warn
    yield* ServiceManager.ready
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(hangup, reloading(gateway.reload))))
    yield* Effect.forkScoped(FreeMemory.always)
    return yield* Effect.onInterrupt(Effect.never, () =>
      Effect.andThen(ServerLog.step("Stopping..."), ServiceManager.stopping)
    )
  })
  return yield* Effect.scoped(running).pipe(
    Effect.provide(Log.layer(options.logFormat)),
    ServerLog.from(options.logLevel)
  )
})

export const command = Command.make("gateway", flags, (given) =>
  CommandSignals.serving(Effect.scoped(run(given)))
).pipe(
  Command.withDescription(
    "Answer queries over HTTP and WebSocket, from back-ends that speak DataConn's protocol."
  ),
  Command.withExamples([
    {
      command: "dataconn gateway --backend main=127.0.0.1:11653",
      description: "Answer on http://127.0.0.1:8080 from one server"
    },
    {
      command:
        "dataconn gateway --http 0.0.0.0:8080 --http-tokens tokens.json --backend eu=db1:11653,db2:11653",
      description: "Two servers with the same data, for clients that have a token"
    }
  ])
)
