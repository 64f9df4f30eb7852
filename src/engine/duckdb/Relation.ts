/**
 * The contents of a query's FROM clause, as far as `Expansion` knows them. Pure.
 */

import { isNode, listOf, type Node } from "./ShortTree.ts"
import type { Work } from "./Work.ts"

/** A table, a subquery or another source of columns. */
export interface Relation {
  readonly columns: number
  /** How many of the columns come from stars. */
  readonly spread: number
  /** Whether there may be more columns. */
  readonly isOpen: boolean
  /** The columns, including the fields of all structs. */
  readonly width: number
  /** The structs among the columns, by name. */
  readonly structs: ReadonlyMap<string, number>
  /** The width of columns with other names. */
  readonly others: number
  /** How much of the widest column comes from names within it. */
  readonly named: number
  /** The parts that are bound again at each reference. */
  readonly parts: number
  /** The planned work, if it is a query. */
  readonly work?: Work | undefined
}

export const noStructs: ReadonlyMap<string, number> = new Map()

export const relation = (columns: number, others = 1): Relation => ({
  columns,
  spread: 0,
  isOpen: false,
  width: columns * others,
  structs: noStructs,
  others,
  named: 0,
  parts: 0
})

export const table: Relation = { ...relation(1), isOpen: true }

/** The relation with renamed columns. */
export const renamed = (given: Relation, aliases: unknown): Relation =>
  !Array.isArray(aliases) || aliases.length === 0 || given.structs.size === 0
    ? given
    : { ...given, structs: noStructs, others: widestOf(given) }

export const widestOf = ({ others, structs }: Relation): number => {
  let widest = others
  for (const width of structs.values()) if (width > widest) widest = width
  return widest
}

const structsOf = (sources: ReadonlyArray<Relation>): ReadonlyMap<string, number> => {
  const [first = table, ...others] = sources.filter(({ structs }) => structs.size > 0)
  return others.length === 0
    ? first.structs
    : new Map([first, ...others].flatMap(({ structs }) => [...structs]))
}

/** All columns of a FROM clause. */
export const allOf = (columns: number, sources: ReadonlyArray<Relation>): Relation => {
  let width = columns
  let others = 1
  for (const source of sources) {
    width += source.width - source.columns
    others = Math.max(others, source.others)
  }
  return {
    columns,
    spread: columns,
    isOpen: sources.some(({ isOpen }) => isOpen),
    width,
    structs: structsOf(sources),
    others,
    named: width - columns,
    parts: 0
  }
}

/** How many columns a PIVOT has, besides those that it groups by. */
export const pivoted = (pivot: Node): number =>
  listOf(pivot["pivots"]).reduce(
    (product: number, each) => product * Math.max(1, isNode(each) ? listOf(each["entries"]).length : 1),
    Math.max(1, listOf(pivot["aggregates"]).length)
  )
