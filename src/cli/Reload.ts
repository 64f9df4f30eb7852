/**
 * A reload of a running server's settings.
 */
import * as Effect from "effect/Effect"
import * as Limits from "../engine/Limits.ts"
import type { GatewayService } from "../gateway/Gateway.ts"
import * as GatewayConfig from "../gateway/GatewayConfig.ts"
import type * as Server from "../server/Server.ts"
import * as ServerConfig from "../server/ServerConfig.ts"
import * as Descriptors from "./Descriptors.ts"
import * as ServeConfig from "./ServeConfig.ts"
import type { ServedEngine } from "./ServedEngine.ts"
import * as ServerLog from "./ServerLog.ts"
import * as StartLine from "./StartLine.ts"

type Name = keyof ServeConfig.ServeConfig

/** Settings that are fixed for the life of the process. */
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
  "logLevel",
  "logFormat",
  "logBodyLength",
  "logValues",
  "logBufferSize",
  "http",
  ...(Object.keys(GatewayConfig.settings) as ReadonlyArray<keyof typeof GatewayConfig.settings>)
]

/** Settings of the engine. A database that clients may change cannot be opened twice at the same time. */
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

const isSame = (a: ServeConfig.ServeConfig, b: ServeConfig.ServeConfig, name: Name): boolean =>
  JSON.stringify(a[name]) === JSON.stringify(b[name])

/** The part of `next` that can take effect, and the settings of it that need a restart. */
export const merge = (
  current: ServeConfig.ServeConfig,
  next: ServeConfig.ServeConfig
): { readonly config: ServeConfig.ServeConfig; readonly later: ReadonlyArray<Name> } => {
  const kept = current.readWrite ? [...fixed, ...engines] : fixed
  return {
    config: { ...next, ...Object.fromEntries(kept.map((name) => [name, current[name]])) },
    later: kept.filter((name) => !isSame(current, next, name))
  }
}

/** The running parts of the server. */
export interface Running {
  readonly server: Pick<Server.ServerService, "reload">
  readonly engine: ServedEngine
  /** The HTTP gateway in front of it, if there is one. */
  readonly gateway: Pick<GatewayService, "reload"> | undefined
}

/**
 * Applies new settings, and checks patterns and replaced files again. Returns the settings in force, which
 * are the current ones if the new ones cannot be applied. The outcome is logged.
 */
export const reload = <E extends { readonly message: string }, R>(
  { engine, gateway, server }: Running,
  current: ServeConfig.ServeConfig,
  load: Effect.Effect<ServeConfig.ServeConfig, E, R>
): Effect.Effect<ServeConfig.ServeConfig, never, R> =>
  Effect.gen(function* () {
    const { config, later } = merge(current, yield* load)
    if (later.length > 0) {
      yield* Effect.logWarning(
        `${later.join(", ")}: not reloaded; other values need another start of the server`
      )
    }
    const fitted = yield* Descriptors.fit(config)
    // The steps that may fail come first.
    if (!config.readWrite) yield* engine.reload(fitted)
    if (gateway !== undefined) yield* gateway.reload
    yield* server.reload(ServeConfig.among(fitted, ServerConfig.names))
    const { fields, text } = StartLine.describe(fitted)
    yield* ServerLog.step(`Reloaded: ${text}`, fields)
    return config
  }).pipe(
    Effect.catch((error) =>
      Effect.as(Effect.logError(`Not reloaded, everything stays as it was: ${error.message}`), current)
    ),
    Effect.catchDefect((defect) =>
      Effect.as(Effect.logError("Not reloaded, everything stays as it was", defect), current)
    )
  )
