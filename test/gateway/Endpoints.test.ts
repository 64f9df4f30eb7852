/**
 * The endpoints that the README lists, and its examples for them.
 */
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as DuckDbEngine from "../../src/engine/duckdb/DuckDbEngine.ts"
import * as Gateway from "../../src/gateway/Gateway.ts"
import * as Address from "../../src/net/Address.ts"
import * as LiveServer from "../support/LiveServer.ts"
import { fetched, urlOf } from "./Served.ts"

const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8")
const [, table = ""] = /<!-- endpoints -->\n([\s\S]*?)\n<!-- \/endpoints -->/.exec(readme) ?? []
const examples = Array.from(table.matchAll(/\| `(curl .*)` \|$/gm), ([, example = ""]) => example)

/** What a line of a shell prints; fails where `curl` has an error for an answer. */
const shell = (line: string, host: string): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const failing = line.replace(/^curl /, "curl --fail -sS ")
    execFile("sh", ["-c", failing], { env: { ...process.env, H: host } }, (error, stdout) =>
      resume(
        error === null ? Effect.succeed(stdout) : Effect.die(new Error(`${line}: ${error.message}${stdout}`))
      )
    )
  })

it.live("the README lists the endpoints, with examples that work one after the other", () =>
  Effect.gen(function* () {
    const duckDb = yield* DuckDbEngine.make({ sample: true, threads: 1 })
    const { address } = yield* LiveServer.start(duckDb)
    const gateway = yield* Gateway.make({
      http: ["127.0.0.1:0"],
      backends: { main: [Address.format(address)] }
    })
    const [listening = address] = gateway.addresses
    const printed: Record<string, string> = {}
    for (const line of examples) printed[line] = yield* shell(line, Address.format(listening))
    const [first = "", second = ""] = examples
    assert.strictEqual(printed[first], "n\r\n42\r\n")
    assert.strictEqual((printed[second] ?? "").trimEnd().split("\n").length, 3)
    assert.isAbove(examples.length, 8)

    const { paths } = (yield* fetched(`${urlOf(listening)}/openapi.json`)).json() as {
      readonly paths: Readonly<Record<string, object>>
    }
    const listed = new Set(
      Array.from(table.matchAll(/`(?:GET|POST|DELETE) (\/\S+)`/g), ([, path = ""]) => path)
    )
    for (const path of Object.keys(paths)) assert.isTrue(listed.has(path), path)
  }).pipe(Effect.provide(Logger.layer([])), Effect.scoped)
)
