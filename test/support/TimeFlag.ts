/** How long a tool runs, as its flag says it: `90s`, `20m`, `8h`, or as Effect writes durations. */
import * as Duration from "effect/Duration"

const units = { s: 1_000, m: 60_000, h: 3_600_000 } as const

/** In milliseconds. */
export const parse = (text: string): number => {
  const [, amount, unit] = /^(\d+)([smh])$/.exec(text) ?? []
  return amount === undefined
    ? Duration.toMillis(Duration.fromInputUnsafe(text as Duration.Input))
    : Number(amount) * units[unit as keyof typeof units]
}
