/**
 * Runs many seeds, and tells of those that fail: of each way to fail the first seed, with the smallest scenario
 * that does, what happens in it, and the command that shows it again.
 */
import { performance } from "node:perf_hooks"
import * as Shrinking from "./Shrinking.ts"
import type { Subject, Variation } from "./Subject.ts"

export interface Options<S, V extends Variation> {
  readonly subject: Subject<S, V>
  readonly from: number
  /** How many seeds at most, and for how long. */
  readonly seeds: number
  readonly millis: number
  /** What is changed in all of them. */
  readonly variation: V
  /** How many ways to fail are explained, and how long each may be shrunk. */
  readonly mostKinds: number
  readonly shrinkMillis: number
  /** Whether every seed is shown as it is. */
  readonly show: boolean
  readonly print: (line: string) => void
}

export interface Result {
  readonly ran: number
  readonly failed: number
}

/** The command that shows a run again. */
const command = <S, V extends Variation>({ flags }: Subject<S, V>, seed: number, variation: V): string => {
  const { order, without } = variation
  return [
    `npm run simulate -- --seeds 1 --from ${seed} --show`,
    ...flags(variation),
    ...(without.length === 0 ? [] : [`--without ${without.join(",")}`]),
    ...(order === 0 ? [] : [`--order ${order}`])
  ].join(" ")
}

const when = /^ *\d+ ms/

/** A transcript in which lines that are the same but for their time stand once, with their number. */
export const fold = (transcript: ReadonlyArray<string>): ReadonlyArray<string> => {
  const folded: Array<{ readonly line: string; times: number }> = []
  for (const line of transcript) {
    const last = folded.at(-1)
    if (last !== undefined && last.line.replace(when, "") === line.replace(when, "")) last.times++
    else folded.push({ line, times: 1 })
  }
  return folded.map(({ line, times }) => (times === 1 ? line : `${line}  (${times} times)`))
}

const show = <S, V extends Variation>(
  { outcome, variation }: Shrinking.Varied<V>,
  { print, subject }: Options<S, V>
): void => {
  print(`${command(subject, outcome.seed, variation)}   (${outcome.hash})`)
  for (const line of fold(outcome.transcript)) print(line)
}

const explain = <S, V extends Variation>(varied: Shrinking.Varied<V>, options: Options<S, V>): void => {
  const until = performance.now() + options.shrinkMillis
  const { outcome, variation } = varied
  options.print(`\nSeed ${outcome.seed} fails: ${outcome.failures[0]}`)
  options.print(command(options.subject, outcome.seed, variation))
  options.print("The smallest scenario found in which it does:")
  show(
    Shrinking.shrink(options.subject, varied, () => performance.now() >= until),
    options
  )
}

export const run = <S, V extends Variation>(options: Options<S, V>): Result => {
  const { from, millis, mostKinds, print, seeds, subject, variation } = options
  const kinds = new Map<string, Array<number>>()
  const startedAt = performance.now()
  const total = { ran: 0, failed: 0, tasks: 0, millis: 0 }
  print(`Seeds from ${from}`)
  for (; total.ran < seeds && performance.now() - startedAt < millis; total.ran++) {
    const outcome = subject.run(from + total.ran, variation)
    total.tasks += outcome.tasks
    total.millis += outcome.millis
    if (options.show) show({ outcome, variation }, options)
    const [failure] = outcome.failures
    if (failure === undefined) continue
    total.failed++
    const kind = Shrinking.kind(failure)
    const same = kinds.get(kind) ?? []
    kinds.set(kind, [...same, outcome.seed])
    if (!options.show && same.length === 0 && kinds.size <= mostKinds)
      explain({ outcome, variation }, options)
  }
  const seconds = (performance.now() - startedAt) / 1000
  print(
    `\n${total.ran} seeds from ${from}, ${total.failed} failed, ${Math.round(total.ran / seconds)} seeds/s; ` +
      `${total.tasks} tasks and ${Math.round(total.millis / 1000)} s of virtual time in ${seconds.toFixed(1)} s`
  )
  for (const [kind, of] of kinds) print(`${of.length} x ${kind}: ${of.slice(0, 5).join(", ")}`)
  return total
}
