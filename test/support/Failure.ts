import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"

/** The error of an exit, or its defect; shown as the tags of the error and its reason. */
export const failure = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return "success"
  const error = Cause.squash(exit.cause) as { readonly _tag?: string; readonly reason?: { _tag: string } }
  return error.reason === undefined ? String(error._tag ?? error) : `${error._tag} ${error.reason._tag}`
}
