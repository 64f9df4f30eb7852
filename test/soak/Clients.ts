/**
 * A process of clients: `Clients.ts ADDRESS SEED PACE`. Takes what the answers must be on its standard input, which
 * stays open for as long as it is to run, and tells each second what it has done.
 */
import { createInterface } from "node:readline"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Address from "../../src/net/Address.ts"
import { Random } from "../simulation/Random.ts"
import * as Tally from "./Tally.ts"
import * as Worker from "./Worker.ts"

const [where = "", seed = "", pace = ""] = process.argv.slice(2)
const address = Result.getOrThrow(Address.parse(where))
if (address._tag !== "Tcp") throw new Error(`not the address of a server: ${where}`)

const input = createInterface({ input: process.stdin })
// Whoever started it has gone, or wants it to go.
input.once("close", () => process.exit(0))
const [fingerprints] = await new Promise<[ReadonlyArray<string>]>((resolve) =>
  input.once("line", (line) => resolve([JSON.parse(line)]))
)

const tally = Tally.make()
const tell = Effect.sync(() => {
  console.log(JSON.stringify(tally))
  Object.assign(tally, Tally.make())
})

await Effect.runPromise(
  Effect.raceFirst(
    Worker.all({ address, fingerprints, random: new Random(Number(seed)), pace: Number(pace), tally }),
    Effect.forever(Effect.andThen(Effect.sleep(1000), tell))
  )
)
