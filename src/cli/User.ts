/**
 * The system user that a server runs as.
 */
import { readFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Address from "../net/Address.ts"

/** The server must not or cannot run with its present rights. */
export class RightsError extends Schema.TaggedError<RightsError>()("RightsError", {
  setting: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `${this.setting}: ${this.problem}`
  }
}

/** Settings only contain valid addresses. */
export const addressOf = (text: string): Address.Address => Result.getOrThrow(Address.parse(text))

/** The risk of addresses that can be reached from elsewhere, in words; `undefined` if there are none. */
export const beyond = (addresses: ReadonlyArray<string>): string | undefined =>
  addresses.every((text) => Address.isLocal(addressOf(text))) ? undefined : "listens beyond this machine"

/** Becomes the named user. Fails if the process still runs as root and something is at risk. */
export const leaveRoot = Effect.fnUntraced(function* (
  { allowRoot, user }: { readonly user: string | undefined; readonly allowRoot: boolean },
  stake: string | undefined
): Effect.fn.Return<void, RightsError> {
  if (user !== undefined) yield* become(user)
  if (process.getuid?.() !== 0 || allowRoot || stake === undefined) return
  return yield* new RightsError({
    setting: "allowRoot",
    problem:
      `a server that ${stake} does not run as root. Start it as another user, name one to become ` +
      "(--user NAME), or allow it (--allow-root)"
  })
})

/** Becomes another user, with that user's groups. */
const become = (name: string): Effect.Effect<void, RightsError> =>
  Effect.try({
    try: () => {
      const [, , uid, gid] = passwordEntry(name) ?? []
      if (uid === undefined || gid === undefined) throw new Error(`there is no user ${name}`)
      if (process.getuid?.() === Number(uid)) return
      if (process.getuid?.() !== 0)
        throw new Error("only root can become another user")
        // Not among the types.
      ;(process as { initgroups?: (user: string, group: number) => void }).initgroups?.(name, Number(gid))
      process.setgid?.(Number(gid))
      process.setuid?.(Number(uid))
    },
    catch: (cause) =>
      new RightsError({ setting: "user", problem: cause instanceof Error ? cause.message : String(cause) })
  })

const passwordEntry = (name: string): ReadonlyArray<string> | undefined =>
  readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"))
    .find(([entry]) => entry === name)
