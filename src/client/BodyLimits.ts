/**
 * Limits of bodies that are buffered as a whole: those of accepts, rejects and errors. Chunks are passed on
 * as they arrive.
 */
import * as Message from "../protocol/Message.ts"
import * as Limit from "../settings/Limit.ts"
import type { Settings } from "./Settings.ts"

type Sizes = Pick<Settings, "maxAcceptSize" | "maxErrorSize">

/** The limits by type. Throws a `RangeError` that names a setting with an invalid value. */
export const make = (settings: Sizes): Message.BodyLimits => {
  const limit = (setting: keyof Sizes) => ({ setting, maxSize: Limit.size(setting, settings[setting], 1) })
  const error = limit("maxErrorSize")
  return {
    [Message.Type.Accept]: limit("maxAcceptSize"),
    [Message.Type.Reject]: error,
    [Message.Type.Error]: error
  }
}
