/**
 * Simulates servers: `npm run simulate -- [--seeds N] [--for 2m] [--from S]`. With `--for` and without `--from`
 * the seeds are others each time.
 *
 * Of each way to fail, the first seed is shrunk for `--shrink` at most. `--show` shows every seed; `--without`
 * and `--order` change it as the commands for small scenarios do.
 */
import { parseArgs } from "node:util"
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Setting from "../../src/server/Setting.ts"
import * as Search from "./Search.ts"

const { values: flags } = parseArgs({
  options: {
    seeds: { type: "string" },
    for: { type: "string", default: "Infinity" },
    from: { type: "string" },
    most: { type: "string" },
    shrink: { type: "string", default: "20s" },
    show: { type: "boolean", default: false },
    without: { type: "string" },
    order: { type: "string" }
  }
})

const read = <A>(name: string, { schema }: Setting.Setting<A>, text: string): A => {
  const value = Schema.decodeResult(schema)(text)
  if (Result.isSuccess(value)) return value.success
  console.error(`--${name} ${text}: ${value.failure.message}`)
  process.exit(2)
}

const count = (name: "seeds" | "from" | "most" | "order", fallback: number): number =>
  flags[name] === undefined ? fallback : read(name, Setting.count(0, 0, ""), flags[name])

const millis = (name: "for" | "shrink"): number =>
  Duration.toMillis(read(name, Setting.duration("1 second", ""), flags[name]))

const isTimed = flags.for !== "Infinity"
const { failed } = Search.run({
  // No second has room for a thousand seeds, so that two searches have none in common.
  from: count("from", isTimed ? Math.floor(Date.now() / 1000) * 1000 : 1),
  seeds: count("seeds", isTimed ? Number.POSITIVE_INFINITY : 1000),
  millis: millis("for"),
  variation: { without: flags.without?.split(",") ?? [], order: count("order", 0) },
  mostKinds: count("most", 3),
  shrinkMillis: millis("shrink"),
  show: flags.show,
  print: (line) => console.log(line)
})
process.exitCode = failed === 0 ? 0 : 1
