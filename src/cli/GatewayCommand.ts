/**
 * `dataconn gateway`: HTTP and WebSocket outside, back-ends inside.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Gateway from "../gateway/Gateway.ts"
import * as Log from "../server/Log.ts"
import * as Signals from "./Signals.ts"

/** A back-end that is not NAME=ADDRESS,…, or has a name that another one has. */
export class BackendError extends Schema.TaggedError<BackendError>()("BackendError", {
  text: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `--backend ${this.text}: ${this.problem}`
  }
}

const flags = {
  http: Flag.String("http").pipe(Flag.withMetavar("address"), Flag.atLeast(0)),
  backend: Flag.String("backend").pipe(Flag.withMetavar("name=address,…"), Flag.atLeast(0))
}

const backends = Effect.fnUntraced(function* (given: ReadonlyArray<string>) {
  const all = new Map<string, ReadonlyArray<string>>()
  for (const text of given) {
    const at = text.indexOf("=")
    const addresses = text
      .slice(at + 1)
      .split(",")
      .map((address) => address.trim())
    if (at < 1 || addresses.some((address) => address === "")) {
      return yield* new BackendError({ text, problem: "expected NAME=ADDRESS or NAME=ADDRESS,ADDRESS" })
    }
    const name = text.slice(0, at)
    if (all.has(name)) return yield* new BackendError({ text, problem: `${name} is given twice` })
    all.set(name, addresses)
  }
  return Object.fromEntries(all)
})

const run = Effect.fnUntraced(function* (given: Command.Command.Config.Infer<typeof flags>) {
  yield* Gateway.make({
    ...(given.http.length > 0 ? { http: given.http } : {}),
    backends: yield* backends(given.backend)
  })
  yield* Effect.logInfo("Started (send SIGINT or SIGTERM to exit)")
  return yield* Effect.onInterrupt(Effect.never, () => Effect.logInfo("Stopping..."))
})

export const command = Command.make("gateway", flags, (given) =>
  Signals.stopping(Effect.provide(Effect.scoped(run(given)), Log.layer("text")))
).pipe(Command.withDescription("Answer queries over HTTP, from back-ends that speak DataConn's protocol."))
