/**
 * No query changes what another one sees, whatever of DuckDB it asks for.
 */
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { isLong } from "../support/Long.ts"
import type { How, Line } from "./Sweep.ts"

const program = new URL("./Sweep.ts", import.meta.url).pathname

/** The lines that one run printed, whichever way it ended. */
const run = async (how: How, readWrite: boolean, first: number, every: number) => {
  const args = [program, how, String(readWrite), String(first), String(every), String(oneOf)]
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 1e9 }).catch(
    (ended: { readonly stdout: string }) => ended
  )
  // DuckDB may print as well.
  return stdout
    .split("\n")
    .filter((line) => line.startsWith('{"'))
    .map((line) => JSON.parse(line) as Line)
}

/** Of how many statements one is asked. */
const oneOf = isLong ? 1 : 8

/** After how many statements to look: that takes longer than the statements do. */
const usually = 25

/** Asks for everything, and gives what changed something and what ended the process. */
const sweep = (how: How, readWrite: boolean) =>
  Effect.promise(async () => {
    const changing: Array<string> = []
    const crashing: Array<string> = []
    let first = 0
    let every = usually
    while (true) {
      const lines = await run(how, readWrite, first, every)
      const end = lines.at(-1)
      const last = lines.findLast((line) => "at" in line)
      if (end !== undefined && "done" in end) return { changing, crashing, asked: end.done }
      if (end === undefined || last === undefined) throw new Error("the sweep did not start")
      if ("at" in end) {
        crashing.push(end.sql)
        first = end.at + 1
      } else if (every > 1) {
        first = end.from
        every = 1
      } else {
        changing.push(last.sql)
        first = end.next
        every = usually
      }
    }
  })

describe("everything that DuckDB offers by name", () => {
  it.live.each(isLong ? [false, true] : [true])(
    "changes nothing that others see when a client asks for it, with readWrite %s",
    (readWrite) =>
      Effect.gen(function* () {
        const { asked, changing, crashing } = yield* sweep("client", readWrite)
        assert.deepStrictEqual({ changing, crashing }, { changing: [], crashing: [] })
        assert.isAbove(asked, 2000 / oneOf)
      }),
    600_000
  )

  it.live.runIf(isLong)(
    "changes nothing but the log, the parser and what the lock spares past the check of statements",
    () =>
      Effect.gen(function* () {
        const { changing, crashing } = yield* sweep("raw", false)
        // The engine itself changes these while it is locked.
        const spared = ["memory_limit", "max_memory", "max_temp_directory_size"]
        const names = new Set(changing.map((sql) => /\w+_\w+/.exec(sql)?.[0] ?? sql))
        assert.deepStrictEqual(
          Array.from(names)
            .filter((name) => !spared.includes(name))
            .sort(),
          ["disable_peg_parser", "enable_logging", "enable_peg_parser"]
        )
        assert.deepStrictEqual(crashing, [])
      }),
    600_000
  )
})
