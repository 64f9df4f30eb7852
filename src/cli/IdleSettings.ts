/**
 * Given settings that have no effect because of the value of another one.
 */
import type { Source } from "./ConfigSources.ts"

/** Settings without effect, and the setting that causes it. */
export interface Idle {
  readonly names: ReadonlyArray<string>
  /** The name of the causing setting. */
  readonly because: string
  /** Puts the reason in words, such as `without --http`, given the other setting as it was written. */
  readonly reason: (written: string) => string
}

/** A given setting without effect, and its source. */
export interface Found {
  /** The setting as it was written: as a flag, a variable or a name in a file. */
  readonly written: string
  readonly reason: string
  /** A flag is meant for this command. Variables and files may be meant for others too. */
  readonly isFlag: boolean
}

/** The settings without effect that the sources have. The first source holds the flags. */
export const find = (idle: ReadonlyArray<Idle>, sources: ReadonlyArray<Source>): ReadonlyArray<Found> =>
  idle.flatMap(({ because, names, reason }) => {
    const flags = sources[0]
    const source = sources.find((source) => source.has(because)) ?? flags
    const text = reason(source?.written(because) ?? because)
    return names.flatMap((name) =>
      sources
        .filter((source) => source.has(name))
        .map((source) => ({ written: source.written(name), reason: text, isFlag: source === flags }))
    )
  })

/** One warning line for all of them. */
export const warning = (found: ReadonlyArray<Found>): string => {
  const byReason = Map.groupBy(found, ({ reason }) => reason)
  const parts = Array.from(
    byReason,
    ([reason, all]) => `${reason}: ${all.map(({ written }) => written).join(", ")}`
  )
  return `These settings have no effect ${parts.join("; ")}`
}
