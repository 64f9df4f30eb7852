/**
 * Parses the `--param` flags of `dataconn query` to parameters of a request, and the `--metadata` flags
 * to its metadata.
 */
import * as Schema from "effect/Schema"
import * as ParameterText from "../engine/ParameterText.ts"
import * as ParameterValues from "../engine/ParameterValues.ts"
import type { Parameter, Parameters } from "../engine/QueryApi.ts"
import * as Statements from "./sql/Statements.ts"

/** Only some of the flags have a name, or a name is repeated. */
export class ParameterError extends Schema.TaggedError<ParameterError>()("ParameterError", {
  problem: Schema.String
}) {
  override get message() {
    return this.problem
  }
}

/** One flag: its name or position if any, and its value. */
interface Given {
  readonly text: string
  readonly name: string | undefined
  readonly position: number | undefined
  readonly value: Parameter
}

const problem = (problem: string) => new ParameterError({ problem })

const pattern = /^(?:([A-Za-z_][A-Za-z0-9_]*)|(\d{1,9}))?(?::([A-Za-z]+))?=(.*)$/s

const given = (text: string): Given | ParameterError => {
  const [, name, position, type, rest = ""] = pattern.exec(text) ?? []
  const place = { text, name, position: position === undefined ? undefined : Number(position) }
  if (type !== undefined) {
    const read = ParameterText.read(type, rest)
    return typeof read === "string" ? problem(read) : { ...place, value: read.value }
  }
  const isNamed = name !== undefined || position !== undefined
  return { ...place, value: ParameterValues.fromText(isNamed ? rest : text) }
}

const duplicate = <A>(all: ReadonlyArray<A>): A | undefined =>
  all.find((one, index) => all.indexOf(one) < index)

const isPlain = ({ name, position }: Given): boolean => name === undefined && position === undefined

/** Parameters with positions, in the order of these. */
const numbered = (all: ReadonlyArray<Given>): Parameters | ParameterError => {
  const sorted = all.toSorted((a, b) => (a.position ?? 0) - (b.position ?? 0))
  const isWhole = sorted.every(({ position }, index) => position === index + 1)
  return isWhole
    ? sorted.map(({ value }) => value)
    : problem(
        `every position from 1 to ${all.length}, once; ${all.map(({ position }) => position).join(", ")} were given`
      )
}

/**
 * All flags in their order: a list if none has a name or all have a position (`1=x`), a record if all have a
 * name. Each may have a type: `name:blob=hex:00`.
 */
export const parse = (texts: ReadonlyArray<string>): Parameters | ParameterError => {
  const all: Array<Given> = []
  for (const text of texts) {
    const one = given(text)
    if (one instanceof ParameterError) return one
    all.push(one)
  }
  if (all.every(isPlain)) {
    return all.map(({ value }) => value)
  }
  if (all.every(({ position }) => position !== undefined)) return numbered(all)
  const nameless = all.find(({ name }) => name === undefined)
  if (nameless !== undefined) {
    const way = all.some(({ name }) => name !== undefined) ? ["NAME", "name"] : ["POSITION", "position"]
    const without = JSON.stringify((all.find((one) => isPlain(one)) ?? nameless).text)
    return problem(`every parameter ${way[0]}=VALUE, or none of them; ${without} has no ${way[1]}`)
  }
  const twice = duplicate(all.map(({ name }) => name))
  if (twice !== undefined) return problem(`every name once; ${twice} was given twice`)
  return Object.fromEntries(all.map(({ name, value }) => [name, value]))
}

const isList = (parameters: Parameters): parameters is ReadonlyArray<Parameter> => Array.isArray(parameters)

/**
 * The parameters of each of several statements: the ones that it names, and those that no statement names,
 * which the server then reports.
 */
export const ofEach = (
  parameters: Parameters,
  statements: ReadonlyArray<string>
): ReadonlyArray<Parameters> => {
  const named = statements.map(Statements.parametersOf)
  if (isList(parameters)) {
    const most = Math.max(...named.map(({ positions }) => positions))
    return named.map(({ positions }) =>
      parameters.length > most ? parameters : parameters.slice(0, positions)
    )
  }
  const isFor = (own: Statements.Named, name: string) =>
    own.names.has(name.toLowerCase()) || named.every(({ names }) => !names.has(name.toLowerCase()))
  return named.map((own) =>
    Object.fromEntries(Object.entries(parameters).filter(([name]) => isFor(own, name)))
  )
}

/**
 * The words of a line, in the form of single `--param` values. `'…'` may contain blanks, and `''`
 * in it is a quote.
 */
export const words = (line: string): ReadonlyArray<string> =>
  Array.from(line.matchAll(/(?:'(?:[^']|'')*'|[^\s'])+/g), ([word]) =>
    word.replace(/'((?:[^']|'')*)'/g, (_, inner: string) => inner.replaceAll("''", "'"))
  )

/** All `NAME=VALUE` in their order. A value is verbatim text. */
export const metadata = (texts: ReadonlyArray<string>): Readonly<Record<string, string>> | ParameterError => {
  const entries = new Map<string, string>()
  for (const text of texts) {
    const at = text.indexOf("=")
    if (at < 1) return new ParameterError({ problem: "every entry NAME=VALUE" })
    const name = text.slice(0, at)
    if (entries.has(name)) return new ParameterError({ problem: `every name once; ${name} was given twice` })
    entries.set(name, text.slice(at + 1))
  }
  return Object.fromEntries(entries)
}
