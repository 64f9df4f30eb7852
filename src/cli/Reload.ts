/**
 * Other settings for a server that runs.
 */
import * as Effect from "effect/Effect"
import * as Limits from "../engine/Limits.ts"
import type { GatewayService } from "../gateway/Gateway.ts"
import * as GatewayConfig from "../gateway/GatewayConfig.ts"
import type * as Server from "../server/Server.ts"
import * as Descriptors from "./Descriptors.ts"
import type { ServeConfig } from "./ServeConfig.ts"
import type { ServedEngine } from "./ServedEngine.ts"
import * as StartLine from "./StartLine.ts"

type Name = keyof ServeConfig

/** Settings that hold from the start of the process to its end. */
const fixed: ReadonlyArray<Name> = [
  "listen",
  "backlog",
  "socketMode",
  "keepAlive",
  "peerTimeout",
  "readWrite",
  "allowExternalAccess",
  "spillDirectory",
  "isolate",
  "user",
  "allowRoot",
  "landlock",
  "logFormat",
  "logBodyLength",
  "logValues",
  "logBufferSize",
  "http",
  ...(Object.keys(GatewayConfig.settings) as ReadonlyArray<keyof typeof GatewayConfig.settings>)
]

/** What the engine is opened with. A database that clients may change cannot be opened a second time beside itself. */
const engines: ReadonlyArray<Name> = [
  "database",
  "tables",
  "engines",
  "engineMemory",
  "cancelGrace",
  "engineSilence",
  "engineStartTimeout",
  "memoryLimit",
  "threads",
  "maxSpill",
  ...(Object.keys(Limits.defaults) as Array<keyof Limits.Limits>)
]

const isSame = (a: ServeConfig, b: ServeConfig, name: Name): boolean =>
  JSON.stringify(a[name]) === JSON.stringify(b[name])

/** What can be had of `next`, and the settings of it that need another start. */
export const merge = (
  current: ServeConfig,
  next: ServeConfig
): { readonly config: ServeConfig; readonly later: ReadonlyArray<Name> } => {
  const kept = current.readWrite ? [...fixed, ...engines] : fixed
  return {
    config: { ...next, ...Object.fromEntries(kept.map((name) => [name, current[name]])) },
    later: kept.filter((name) => !isSame(current, next, name))
  }
}

/** What runs. */
export interface Running {
  readonly server: Pick<Server.ServerService, "reload">
  readonly engine: ServedEngine
  /** What speaks HTTP before it, if anything does. */
  readonly gateway: Pick<GatewayService, "reload"> | undefined
}

/**
 * Takes other settings: patterns of files and replaced files are looked at again too. Gives those in force, which are
 * the current ones if the others cannot be had. The log says which it is.
 */
export const reload = <E extends { readonly message: string }>(
  { engine, gateway, server }: Running,
  current: ServeConfig,
  load: Effect.Effect<ServeConfig, E>
): Effect.Effect<ServeConfig> =>
  Effect.gen(function* () {
    const { config, later } = merge(current, yield* load)
    if (later.length > 0) {
      yield* Effect.logWarning(
        `${later.join(", ")}: not reloaded; other values need another start of the server`
      )
    }
    const fitted = yield* Descriptors.fit(config)
    // First what may fail.
    if (!config.readWrite) yield* engine.reload(fitted)
    if (gateway !== undefined) yield* gateway.reload
    yield* server.reload(fitted)
    const { fields, text } = StartLine.describe(fitted)
    yield* Effect.logInfo(`Reloaded: ${text}`, fields)
    return config
  }).pipe(
    Effect.catch((error) =>
      Effect.as(Effect.logError(`Not reloaded, everything stays as it was: ${error.message}`), current)
    ),
    Effect.catchDefect((defect) =>
      Effect.as(Effect.logError("Not reloaded, everything stays as it was", defect), current)
    )
  )
