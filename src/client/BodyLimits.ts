/**
 * Limits of the bodies that are held as a whole: those of accepts, rejects and errors. Chunks are handed on as they
 * arrive.
 */
import * as Message from "../protocol/Message.ts"
import * as Limit from "../settings/Limit.ts"
import type { Settings } from "./Settings.ts"

type Sizes = Pick<Settings, "maxAcceptSize" | "maxErrorSize">

/** The limits by type. Throws a `RangeError` that names the setting whose value cannot be one. */
export const make = (settings: Sizes): Message.BodyLimits => {
  const limit = (setting: keyof Sizes) => ({ setting, maxSize: Limit.size(setting, settings[setting], 1) })
  const error = limit("maxErrorSize")
  return {
    [Message.Type.Accept]: limit("maxAcceptSize"),
    [Message.Type.Reject]: error,
    [Message.Type.Error]: error
  }
}
