/**
 * `dataconn serve` as it is published.
 */
import { execFileSync } from "node:child_process"
import { once } from "node:events"
import * as Net from "node:net"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ClientPool from "../../src/client/ClientPool.ts"
import * as Processes from "./Processes.ts"

const path = (relative: string) => fileURLToPath(new URL(`../../${relative}`, import.meta.url))

/** Builds the package. */
export const build = (): void => {
  execFileSync("npm", ["run", "--silent", "build"], { cwd: path("."), stdio: "inherit" })
}

/** A port that is free now. */
export const freePort = async (): Promise<string> => {
  const server = Net.createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as Net.AddressInfo
  server.close()
  await once(server, "close")
  return String(port)
}

/** Without the lines of each query, which nobody would read. */
const command = (args: ReadonlyArray<string>, port: string): Processes.Command => [
  process.execPath,
  path("dist/command/bin.js"),
  "serve",
  "--listen",
  `127.0.0.1:${port}`,
  "--log-level",
  "warn",
  ...args
]

/** Waits until a server answers. */
const answer = (port: string): Effect.Effect<unknown> => {
  const asked = Effect.gen(function* () {
    const client = yield* ClientPool.connect(`127.0.0.1:${port}`)
    const { chunks } = yield* client.query({ query: "SELECT 42" })
    yield* Stream.runDrain(chunks)
  }).pipe(Effect.scoped)
  return Effect.catch(asked, () => Effect.andThen(Effect.sleep(3), answer(port)))
}

/** Starts the command, waits for its first answer, and stops it once `use` is done with it. */
export const using = async <A>(
  args: ReadonlyArray<string>,
  use: (port: string, server: Processes.Process) => Promise<A>
): Promise<A> => {
  const port = await freePort()
  return Processes.using(command(args, port), [], async (server) => {
    await Effect.runPromise(answer(port))
    return use(port, server)
  })
}
