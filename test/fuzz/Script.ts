/**
 * What one client does on one connection, as data and as a line of text by which it can be played again:
 * `tcp; send 0000000043; await terminal; stay`.
 */
import * as fc from "fast-check"

/** What a client waits for before it goes on; not for long, since the server may owe it nothing. */
export const awaited = ["accept", "data", "terminal"] as const
export type Awaited = (typeof awaited)[number]

export type Step =
  | { readonly _tag: "Send"; readonly bytes: Uint8Array }
  | { readonly _tag: "Await"; readonly what: Awaited }
  | { readonly _tag: "StopReading" }

/**
 * How it ends: with a half-close, a reset, by closing without reading what there is to read, or by staying until
 * the server closes or has answered everything.
 */
export const endings = ["halfClose", "reset", "leave", "stay"] as const
export type Ending = (typeof endings)[number]

export interface Script {
  readonly where: "tcp" | "unix"
  readonly steps: ReadonlyArray<Step>
  readonly ending: Ending
}

const formatStep = (step: Step): string => {
  switch (step._tag) {
    case "Send":
      return `send ${Buffer.from(step.bytes).toString("hex")}`
    case "Await":
      return `await ${step.what}`
    case "StopReading":
      return "stopReading"
  }
}

export const format = ({ ending, steps, where }: Script): string =>
  [where, ...steps.map(formatStep), ending].join("; ")

const parseStep = (text: string): Step => {
  const [word, argument = ""] = text.split(" ")
  if (word === "send") return { _tag: "Send", bytes: new Uint8Array(Buffer.from(argument, "hex")) }
  if (word === "stopReading") return { _tag: "StopReading" }
  const what = awaited.find((each) => each === argument)
  if (word === "await" && what !== undefined) return { _tag: "Await", what }
  throw new Error(`not a step of a script: ${text}`)
}

/** Reads what {@link format} writes. */
export const parse = (text: string): Script => {
  const [where, ...rest] = text.trim().split(/;\s*/)
  const ending = endings.find((each) => each === rest.at(-1))
  if ((where !== "tcp" && where !== "unix") || ending === undefined) {
    throw new Error(`not a script: it begins with tcp or unix and ends with one of ${endings.join(", ")}`)
  }
  return { where, steps: rest.slice(0, -1).map(parseStep), ending }
}

/** All that it sends. */
export const sent = ({ steps }: Script): Uint8Array =>
  new Uint8Array(Buffer.concat(steps.flatMap((step) => (step._tag === "Send" ? [step.bytes] : []))))

const batchSize = 50

/** Values of an arbitrary without an end, the same ones for the same seed. */
export function* sample<A>(arbitrary: fc.Arbitrary<A>, seed: number): Generator<A, never> {
  for (let batch = 0; ; batch++)
    yield* fc.sample(arbitrary, { seed: seed * 1_000_003 + batch, numRuns: batchSize })
}
