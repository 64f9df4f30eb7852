/**
 * The log line about a server at its start, and after new settings.
 */
import * as Schema from "effect/Schema"
import * as Printable from "../server/Printable.ts"
import * as ServerConfig from "../server/ServerConfig.ts"
import type * as Setting from "../server/Setting.ts"
import * as ServeConfig from "./ServeConfig.ts"
import * as Version from "./Version.ts"

/** A text and the same as fields, for the two formats of the log. */
export interface Description {
  readonly text: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** Describes the server of this process. */
export const describe = (config: ServeConfig.ServeConfig): Description => {
  const { allowExternalAccess, readWrite } = config
  const served = servedBy(config)
  const settings = different(config)
  const rights = `${readWrite ? "clients may write" : "read-only"}${allowExternalAccess ? ", with external access" : ""}`
  const others = Object.entries(settings).map(([name, value]) => `${name} ${value}`)
  return {
    text: Printable.line(
      `dataconn ${Version.version}, process ${process.pid}, serves ${served.join(", ")}; ${rights}; ` +
        (others.length === 0 ? "all settings by default" : `settings: ${others.join(", ")}`)
    ),
    fields: { version: Version.version, pid: process.pid, serves: served, readOnly: !readWrite, settings }
  }
}

const servedBy = ({ database, readWrite, tables }: ServeConfig.ServeConfig): ReadonlyArray<string> => {
  const files = Object.entries(tables).map(([name, file]) => `${name} (${file})`)
  if (database !== undefined) return [`the database ${database}`, ...files]
  if (files.length > 0) return files
  return [readWrite ? "the sample in a database in memory" : "the sample"]
}

/** The settings with values other than the defaults, as they are written. */
const different = (config: ServeConfig.ServeConfig): Readonly<Record<string, string>> => {
  const found: Record<string, string> = {}
  if (config.listen.join() !== ServerConfig.defaultListen.join()) found["listen"] = config.listen.join(" ")
  if (config.http.length > 0) found["http"] = config.http.join(" ")
  const values: Readonly<Record<string, unknown>> = config
  for (const [name, setting] of Object.entries(ServeConfig.all)) {
    if (shownOtherwise.has(name)) continue
    const text = written(setting as Setting.Setting<unknown>, values[name])
    if (text !== written(setting as Setting.Setting<unknown>, setting.fallback)) found[name] = text
  }
  return found
}

const shownOtherwise: ReadonlySet<string> = new Set(["database", "readWrite", "allowExternalAccess"])

const written = ({ schema }: Setting.Setting<unknown>, value: unknown): string =>
  value === undefined ? "" : String(Schema.encodeUnknownSync(schema as Schema.Codec<unknown, unknown>)(value))
