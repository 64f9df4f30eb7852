/**
 * How long the bodies of a server may be that are held as a whole: those of accepts, rejects and errors. Chunks are
 * handed on as they arrive.
 */
import * as Frame from "../wire/Frame.ts"
import * as Limit from "../wire/Limit.ts"
import type { Settings } from "./Settings.ts"

type Sizes = Pick<Settings, "maxAcceptSize" | "maxErrorSize">

/** The limits by type. Throws a `RangeError` that names the setting whose value cannot be one. */
export const make = (settings: Sizes): Frame.BodyLimits => {
  const limit = (setting: keyof Sizes) => ({ setting, maxSize: Limit.size(setting, settings[setting], 1) })
  const error = limit("maxErrorSize")
  return {
    [Frame.Type.Accept]: limit("maxAcceptSize"),
    [Frame.Type.Reject]: error,
    [Frame.Type.Error]: error
  }
}
