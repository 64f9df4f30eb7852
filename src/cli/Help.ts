/**
 * Help with the most useful parts first, and completions for shells.
 */
import * as Console from "effect/Console"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Completions from "effect/cli/Completions"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import type * as HelpDoc from "effect/cli/HelpDoc"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ConfigSources from "./ConfigSources.ts"
import * as ServeConfig from "./ServeConfig.ts"

/** The lines of `USAGE` on every page of the default formatter, if there is no description. */
const usageLines = 3

/** Widest page, in columns. */
const widest = 100

/** A description with less room than this begins below its flag. */
const leastRoom = 40

/** The words of a text in lines of at most so many columns. */
const fill = (text: string, columns: number): ReadonlyArray<string> => {
  const lines = [""]
  for (const word of text.split(" ")) {
    const line = lines.at(-1) ?? ""
    if (line !== "" && line.length + 1 + word.length > columns) lines.push(word)
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`
  }
  return lines
}

/** Wraps the right-hand side of a long line below itself. */
const wrapLine = (line: string, columns: number): string => {
  const width = CliOutput.displayWidth(line)
  const [, left = "", right = ""] = /^(\s+(?:\S.*?\s{2,})?)(\S.*)$/.exec(line) ?? []
  if (width <= columns || left === "" || line.trimStart().startsWith("dataconn")) return line
  const indent = CliOutput.displayWidth(left)
  return columns - indent >= leastRoom
    ? `${left}${fill(right, columns - indent).join(`\n${" ".repeat(indent)}`)}`
    : [left.trimEnd(), ...fill(right, columns - 8).map((part) => `        ${part}`)].join("\n")
}

const wrap = (page: string): string => {
  const columns = Math.min(process.stdout.columns || widest, widest)
  return page
    .split("\n")
    .map((line) => wrapLine(line, columns))
    .join("\n")
}

/** A part of a page, without the usage and the description that the formatter puts first. */
const part = (base: CliOutput.Formatter, doc: HelpDoc.HelpDoc): string =>
  base
    .formatHelpDoc({ ...doc, usage: "", description: "" })
    .split("\n")
    .slice(usageLines)
    .join("\n")

/** Puts examples before flags. */
const examplesFirst = (base: CliOutput.Formatter) => (doc: HelpDoc.HelpDoc) => {
  const { args, examples, flags, globalFlags, inheritedFlags, ...rest } = doc
  const opening = base.formatHelpDoc({ ...rest, flags: [] })
  const { subcommands: _, ...closing } = doc
  return [
    opening,
    part(base, { ...rest, subcommands: [], flags: [], examples: examples ?? [] }),
    part(base, { ...closing, examples: [] })
  ]
    .filter((text) => text !== "")
    .join("\n\n")
}

/** The formatter of help. */
export const formatter = (): CliOutput.Formatter => {
  const base = CliOutput.defaultFormatter({ globalFlags: "summary" })
  const format = examplesFirst(base)
  return { ...base, formatHelpDoc: (doc) => wrap(format(doc)) }
}

type Values = Completions.FlagType | undefined

const file: Values = { _tag: "Path", pathType: "file" }

/** The possible values of a setting, by its form; `undefined` if none can be offered. */
const ofForm = (form: string): Values => {
  if (form === "file") return file
  if (form === "directory") return { _tag: "Path", pathType: "directory" }
  return form.includes("|") ? { _tag: "Choice", values: form.split("|") } : undefined
}

/**
 * The possible values of flags that the parser takes as text: settings are read later, and `serve` must not
 * access files so early.
 */
const values: ReadonlyMap<string, Values> = new Map<string, Values>([
  ...Object.entries(ServeConfig.all).map(
    ([name, { form }]) => [ConfigSources.kebab(name), ofForm(form)] as const
  ),
  ...["config", "file", "output", "history", "record", "script", "plot"].map((name) => [name, file] as const)
])

const withValues = (descriptor: Completions.CommandDescriptor): Completions.CommandDescriptor => ({
  ...descriptor,
  flags: [
    ...descriptor.flags.map((flag) => {
      const type = flag.type._tag === "String" ? values.get(flag.name) : undefined
      return type === undefined ? flag : { ...flag, type }
    }),
    ...everywhere
  ],
  arguments: descriptor.arguments.map((argument) =>
    argument.name === "file" ? { ...argument, type: { _tag: "Path", pathType: "file" } as const } : argument
  ),
  subcommands: descriptor.subcommands.map(withValues)
})

/** The flags that every command has, and that are useful in the middle of a line. */
const everywhere: ReadonlyArray<Completions.FlagDescriptor> = Completions.fromCommand(
  Command.make("any", { level: GlobalFlag.LogLevel.flag, help: GlobalFlag.Help.flag })
).flags.map((flag) => (flag.name === "help" ? { ...flag, negation: false } : flag))

const shells: ReadonlyArray<Completions.Shell> = ["bash", "zsh", "fish", "powershell"]

/** A word that stands for a flag (see `Arguments`), with its possible values. */
const word = (
  name: string,
  description: string,
  values: ReadonlyArray<string>
): Completions.CommandDescriptor => ({
  name,
  description,
  flags: [],
  arguments:
    values.length === 0
      ? []
      : [
          {
            name: "of",
            description: undefined,
            required: false,
            variadic: false,
            type: { _tag: "Choice", values }
          }
        ],
  subcommands: []
})

const withWords = (descriptor: Completions.CommandDescriptor): Completions.CommandDescriptor => ({
  ...descriptor,
  subcommands: [
    ...descriptor.subcommands,
    word(
      "help",
      "Show help",
      descriptor.subcommands.map(({ name }) => name)
    ),
    word("version", "Show the version", []),
    word("completions", "Print shell completion script", shells)
  ]
})

const completions: typeof GlobalFlag.Completions = GlobalFlag.Action({
  flag: GlobalFlag.Completions.flag,
  run: (shell, { command }) =>
    Option.match(shell, {
      onNone: () => Effect.void,
      onSome: (shell) =>
        Console.log(
          Completions.generate(command.name, shell, withWords(withValues(Completions.fromCommand(command))))
        )
    })
})

/** The global flags, with completions for files. */
export const config: CliConfig.CliConfig.Service = CliConfig.make({
  builtIns: CliConfig.defaults.builtIns.map((flag) => (flag === GlobalFlag.Completions ? completions : flag))
})
