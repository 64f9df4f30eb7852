/**
 * Settings that were given and have no effect, because of the value of another one.
 */
import type { Source } from "./ConfigSources.ts"

/** Settings that have no effect, and the setting that is the reason. */
export interface Idle {
  readonly names: ReadonlyArray<string>
  /** The name of the setting that is the reason. */
  readonly because: string
  /** Puts the reason in words, such as `without --http`; gets the other setting as it was written. */
  readonly reason: (written: string) => string
}

/** One that was given, and where. */
export interface Found {
  /** As it was written: as a flag, a variable or a name in a file. */
  readonly written: string
  readonly reason: string
  /** A flag is typed for this command. Variables and files may be there for others too. */
  readonly isFlag: boolean
}

/** Those of the settings that the sources have; the first source holds the flags. */
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

/** One line for all of them. */
export const warning = (found: ReadonlyArray<Found>): string => {
  const byReason = Map.groupBy(found, ({ reason }) => reason)
  const parts = Array.from(
    byReason,
    ([reason, all]) => `${reason}: ${all.map(({ written }) => written).join(", ")}`
  )
  return `These settings have no effect ${parts.join("; ")}`
}
