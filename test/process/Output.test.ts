import { once } from "node:events"
import { PassThrough } from "node:stream"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Listener } from "../../src/process/Launcher.ts"
import * as Output from "../../src/process/Output.ts"

it.effect("what a process prints is logged line by line, and of very much a part", () =>
  Effect.promise(async () => {
    const logged: Array<string> = []
    const output = new PassThrough()
    const listener: Pick<Listener, "logged"> = { logged: ({ message }) => void logged.push(message) }
    Output.relay(output, listener)
    output.write("one\ntw")
    output.write("o\n\n")
    output.write("x".repeat(5000))
    output.write(`\n${"more\n".repeat(1000)}last`)
    output.end()
    await once(output, "end")
    assert.deepStrictEqual(logged.slice(0, 4), ["one", "two", "x".repeat(1000), "more"])
    assert.strictEqual(logged.length, 101)
    assert.strictEqual(logged.at(-1), "904 more lines of output were left out")
  })
)
