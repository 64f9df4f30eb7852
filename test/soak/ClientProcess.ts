/**
 * A process of clients as the soak sees it: it is started, tells what it has done, is killed and started again.
 */
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Address from "../../src/net/Address.ts"
import type * as Catalogue from "./Catalogue.ts"
import type * as Tally from "./Tally.ts"

const script = new URL("./Clients.ts", import.meta.url).pathname

export interface Options {
  readonly address: Address.Address
  /** How many times longer its clients pause than they would by themselves. */
  readonly pace: number
  readonly fingerprints: Catalogue.Fingerprints
  /** A seed of its own for each process. */
  readonly seed: () => number
  readonly onTally: (tally: Tally.Tally) => void
  /** Called with what a process had to say that ended by itself. */
  readonly onDeath: (words: string) => void
}

export interface ClientProcess {
  /** Kills it, and starts another one in its place. */
  readonly restart: Effect.Effect<void>
}

/** Starts one in the scope, with whose end it ends. */
export const start = (options: Options): Effect.Effect<ClientProcess, never, Scope.Scope> => {
  const launch = () => {
    const args = [script, Address.format(options.address), String(options.seed()), String(options.pace)]
    // In a group of its own, so that a Ctrl-C ends the load in its turn.
    const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "pipe"], detached: true })
    let words = ""
    let killed = false
    child.stdin.on("error", () => {})
    child.stdin.write(`${JSON.stringify(options.fingerprints)}\n`)
    child.stderr.on("data", (text) => {
      words += text
    })
    createInterface({ input: child.stdout }).on("line", (line) => options.onTally(JSON.parse(line)))
    child.once("exit", (code, signal) => {
      if (!killed) options.onDeath(`a process of clients ended with ${signal ?? code}: ${words}`)
    })
    return () => {
      killed = true
      child.kill("SIGKILL")
    }
  }
  return Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => ({ kill: launch() })),
      (running) => Effect.sync(() => running.kill())
    ),
    (running) => ({
      restart: Effect.sync(() => {
        running.kill()
        running.kill = launch()
      })
    })
  )
}
