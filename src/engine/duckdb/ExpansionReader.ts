/**
 * Reads a short tree (`ShortTree`) in the order in which DuckDB binds it, and counts its expansion. Pure.
 *
 * Unknown parts count as little as possible: a table has one column.
 */
import { Budget, partsOfSummary, timesOf } from "./Budget.ts"
import * as Functions from "./Functions.ts"
import type { Macros } from "./Macros.ts"
import { allOf, noStructs, pivoted, type Relation, relation, renamed, table, widestOf } from "./Relation.ts"
import { Scope } from "./Scope.ts"
import { isNode, isQuery, listOf, type Node, nameOf } from "./ShortTree.ts"
import { Work } from "./Work.ts"

/** The keys that make a SELECT an aggregate, besides the functions that it calls. */
export const grouping = ["group_expressions", "having", "aggregate_handling"]

/** The expansion of a name: the parts of its expression, and its columns including the fields of structs. */
interface Value {
  readonly parts: number
  readonly width: number
}

const noNode: Node = {}

/** Joins that return only the columns of their left side. */
const ofLeft: ReadonlyArray<unknown> = ["SEMI", "ANTI"]

export class Reader {
  private readonly tables = new Scope<Relation>()
  private readonly sources = new Scope<Relation>()
  private readonly values = new Scope<Value>()
  private readonly macros: Macros
  readonly budget = new Budget()
  /** The planned queries. */
  work = new Work()
  /** The parts read so far, including copies. */
  parts = 0
  /** The width of the expression that was read last, and how much of it comes from names. */
  private width = 1
  private named = 0
  /** How many names of columns and queries have been read. */
  private names = 0
  /** The widest argument of a function so far, for the parameters of its lambda. */
  private element = 1
  /** The columns of the FROM clause. */
  private all = relation(0)
  /** How many columns a star within the expression expands to. */
  private stars = 0

  /** `values` are names that expand to so many parts each. */
  constructor(macros: Macros, values: ReadonlyMap<string, number> = new Map()) {
    this.macros = macros
    for (const [name, parts] of values) this.values.set(name, { parts, width: 1 })
  }

  private copy(parts: number): void {
    this.parts += parts
    this.budget.copy(parts)
  }

  /** Multiplies everything read since these parts and this mark of work, to `times` in all. */
  private repeat(parts: number, mark: number, times: number): void {
    this.copy((this.parts - parts) * (times - 1))
    this.work.repeat(mark, times)
  }

  /** Reads an expression or query that is bound in place, with everything within it. */
  expression(value: unknown): void {
    this.width = 1
    this.named = 0
    if (typeof value === "string") this.stands(this.values.get(value.toLowerCase()))
    if (!isNode(value)) return
    if (value.c !== undefined) this.reference(value.c)
    else if (isQuery(value)) {
      this.width = widestOf(this.query(value))
      this.named = this.width - 1
    } else if (value.class === "STAR") this.star(value)
    else if (value.class === "LAMBDA") this.lambda(value)
    else this.call(value)
  }

  private call(value: Node): void {
    const before = this.parts
    const { element, names, work } = this
    const { mark } = work
    const name = value.f
    const isWhole = name !== undefined || value.class !== undefined
    if (isWhole) {
      this.parts++
      this.element = 1
    }
    let widest = 1
    let sum = 0
    let named = 0
    for (const key in value) {
      const child = value[key]
      if (typeof child !== "object") continue
      for (const each of Array.isArray(child) ? child : [child]) {
        this.expression(each)
        widest = Math.max(widest, this.width)
        sum += this.width
        named += this.named
        this.element = Math.max(this.element, this.width)
      }
    }
    if (isWhole) this.element = element
    const isPlain = value.class === "COMPARISON" || value.class === "CONJUNCTION"
    const isBuilt = name !== undefined && Functions.building.has(name)
    this.width = isPlain ? 1 : this.budget.bounded(1 + (isBuilt ? sum : Math.max(widest - 1, named)))
    this.named = isPlain ? 0 : isBuilt && this.names > names ? sum : named
    if (value.class === "BETWEEN") {
      this.copy((this.parts - before - work.partsSince(mark)) * (timesOf.between - 1))
    } else if (value.class === "SUBQUERY" && value["subquery_type"] !== "ANY") work.repeat(mark, 2)
    else if (name !== undefined)
      this.repeat(before, mark, this.macros.get(name)?.times ?? Functions.timesOfArguments(name))
    // Filters on the partitions of a window are pushed below it, like those on groups.
    if (value["partitions"] !== undefined || (name !== undefined && this.mayAggregate(name))) work.times = 2
  }

  private mayAggregate(name: string): boolean {
    return this.macros.get(name)?.mayAggregate ?? Functions.mayAggregate(name)
  }

  private reference(path: ReadonlyArray<string>): void {
    const [first = "", second = "", third = ""] = path.map(nameOf)
    const direct = path.length > 1 ? this.sources.get(first) : undefined
    const source = direct ?? (path.length > 2 ? this.sources.get(second) : undefined)
    if (source === undefined) {
      this.stands(this.values.get(first === "alias" && path.length > 1 ? second : first))
    } else {
      const column = direct === undefined ? third : second
      this.stands({ parts: 1, width: source.structs.get(column) ?? source.others })
    }
  }

  private stands(value: Value | undefined): void {
    this.parts++
    this.names++
    this.width = value?.width ?? this.all.others
    this.named = this.width - 1
    if (value !== undefined && value.parts > 1) this.copy(value.parts - 1)
  }

  private star(value: Node): void {
    this.parts++
    const { all } = this
    let widest = 1
    for (const key in value) {
      if (typeof value[key] !== "object") continue
      this.expression(value[key])
      widest = Math.max(widest, this.width)
    }
    this.names++
    this.width = Math.max(widest, all.width)
    this.named = this.width - 1
    this.stars = Math.max(this.stars, all.columns)
  }

  /** DuckDB binds the body of a lambda twice. */
  private lambda(value: Node): void {
    this.parts++
    const mark = this.values.mark
    const { element } = this
    this.expression(value["lhs"])
    const lhs = isNode(value["lhs"]) ? value["lhs"] : {}
    for (const name of [lhs, ...listOf(lhs["children"])]) {
      const path = typeof name === "string" ? name : isNode(name) ? name.c?.[0] : undefined
      if (path !== undefined) this.values.set(nameOf(path), { parts: 1, width: element })
    }
    const before = this.parts
    this.expression(value["expr"])
    this.copy(this.parts - before)
    this.values.leave(mark)
  }

  private query(value: Node): Relation {
    const { all, parts, stars, work: outer } = this
    const work = outer.add()
    this.work = work
    const marks = [this.tables.mark, this.sources.mark, this.values.mark] as const
    this.withTables(value["cte_map"])
    const before = this.parts
    const given = value.type === "SELECT_NODE" ? this.select(value) : this.operation(value)
    this.tables.leave(marks[0])
    this.sources.leave(marks[1])
    this.values.leave(marks[2])
    work.close(this.parts - parts)
    this.work = outer
    this.all = all
    this.stars = stars
    this.names++
    this.budget.count(given.columns)
    return { ...given, parts: this.parts - before, work }
  }

  /** Reads set operations, recursion, and other nodes that contain queries. */
  private operation(value: Node): Relation {
    this.parts++
    let first: Relation | undefined
    let columns = 1
    let spread = 0
    let isOpen = false
    let widest = 1
    let named = 0
    const read = (child: unknown): void => {
      if (Array.isArray(child)) for (const each of child) read(each)
      else if (isNode(child) && isQuery(child)) {
        const given = this.query(child)
        first ??= given
        columns = Math.max(columns, given.columns)
        spread += given.spread
        isOpen ||= given.isOpen
        widest = Math.max(widest, widestOf(given))
        named += given.named
        if (typeof value["cte_name"] === "string") {
          this.tables.set(nameOf(value["cte_name"]), { ...first, parts: 0, work: undefined })
        }
      } else this.expression(child)
    }
    for (const key in value) if (key !== "cte_map" && typeof value[key] === "object") read(value[key])
    // Columns that a star renames are all kept.
    if (value["setop_type"] === "UNION_BY_NAME") columns = this.budget.bounded(Math.max(columns, spread))
    spread = Math.min(spread, columns)
    const others = this.budget.bounded(Math.max(widest, named + 1))
    const width = columns - 1 + others
    return { columns, spread, isOpen, width, structs: noStructs, others, named, parts: 0 }
  }

  private withTables(map: unknown): void {
    for (const entry of isNode(map) ? listOf(map["map"]) : []) {
      if (!isNode(entry) || !isNode(entry["value"]) || !isNode(entry["value"]["query"])) continue
      const { aliases, materialized, query } = entry["value"]
      const given = renamed(this.query((query as Node)["node"] as Node), aliases)
      given.work?.name(materialized)
      const isCopied = materialized === "CTE_MATERIALIZE_NEVER"
      this.tables.set(nameOf(entry["key"]), isCopied ? given : { ...given, parts: 0 })
    }
  }

  private select(value: Node): Relation {
    this.parts += 5
    const from: Array<Relation> = []
    const columns = this.from(value["from_table"], from)
    this.all = allOf(columns, from)
    if (grouping.some((key) => value[key] !== undefined)) this.work.times = 2
    const list = this.list(listOf(value["select_list"]))
    for (const key in value) {
      if (key === "cte_map" || key === "from_table" || key === "select_list") continue
      const clause = value[key]
      if (typeof clause === "object") this.expression(clause)
    }
    return list
  }

  private list(items: ReadonlyArray<unknown>): Relation {
    let structs: Map<string, number> | undefined
    let columns = 0
    let spread = 0
    let isOpen = false
    let width = 0
    let others = 1
    let named = 0
    for (const item of items) {
      const before = this.parts
      const { mark } = this.work
      this.stars = 0
      this.expression(item)
      named = Math.max(named, this.named)
      const own = this.parts - before
      const { alias, c, class: kind, columns: isMany, f } = isNode(item) ? item : noNode
      if (alias !== undefined) this.values.set(nameOf(alias), { parts: own, width: this.width })
      if (kind === "STAR" && isMany !== true) {
        const given = this.starred(item as Node)
        columns += given.columns
        spread += given.columns
        isOpen ||= given.isOpen
        width += given.width
        others = Math.max(others, given.others)
        if (given.structs.size > 0) structs ??= new Map()
        for (const [name, wide] of given.structs) structs?.set(name, wide)
        continue
      }
      const count = this.stars > 0 ? this.stars : nameOf(f) === "unnest" ? this.width : 1
      this.repeat(before, mark, Math.max(1, this.stars))
      columns += count
      if (this.stars > 0) {
        spread += count
        isOpen ||= this.all.isOpen
      }
      width += Math.max(count, this.width)
      if (this.width === 1) continue
      const name = nameOf(alias ?? c?.at(-1) ?? item)
      if (name === "" || count > 1) {
        others = Math.max(others, this.width)
        continue
      }
      structs ??= new Map()
      structs.set(name, this.width)
    }
    this.budget.bounded(columns)
    this.budget.bounded(width)
    return { columns, spread, isOpen, width, structs: structs ?? noStructs, others, named, parts: 0 }
  }

  /** The columns that a star in a list expands to. */
  private starred(item: Node): Relation {
    const { all, width } = this
    const name = nameOf(item["relation_name"])
    const source = name === "" ? undefined : this.sources.get(name)
    const fields = this.values.get(name)?.width ?? all.others
    const whole = name === "" ? all : (source ?? { ...relation(fields), isOpen: true, others: fields })
    // Columns may be renamed, and a replacement may be anything that the star contains.
    const isOther = listOf(item["rename_list"]).length + listOf(item["replace_list"]).length > 0
    const others = isOther ? Math.max(whole.others, width) : whole.others
    const excluded = listOf(item["exclude_list"]).length + listOf(item["qualified_exclude_list"]).length
    const left = whole.isOpen ? 0 : excluded
    const columns = Math.max(0, whole.columns - left)
    return { ...whole, columns, width: Math.max(columns, whole.width - left), others }
  }

  /** Reads a FROM clause and returns its least number of columns. */
  private from(value: unknown, into: Array<Relation>): number {
    if (!isNode(value)) return 0
    this.parts++
    return value.type === "JOIN" ? this.join(value, into) : this.source(value, into)
  }

  private join(value: Node, into: Array<Relation>): number {
    const left = this.from(value["left"], into)
    const right = this.from(value["right"], into)
    this.expression(value["condition"])
    if (ofLeft.includes(value["join_type"])) return left
    const shared = value["ref_type"] === "NATURAL" ? 1 : new Set(listOf(value["using_columns"])).size
    // Shared columns may be among those that are not counted.
    return into.some(({ isOpen }) => isOpen) ? left + right : Math.max(left, left + right - shared)
  }

  private source(value: Node, into: Array<Relation>): number {
    const given = renamed(this.sourceOf(value), value["column_name_alias"])
    if (given.parts > 0) this.copy(given.parts)
    this.budget.count(given.structs.size)
    const name = nameOf(value.alias) || nameOf(value["table_name"])
    this.sources.set(name, given)
    if (given.width > 1) this.values.set(name, { parts: 1, width: given.width })
    for (const [column, width] of given.structs) this.values.set(column, { parts: 1, width })
    into.push(given)
    return given.columns
  }

  private sourceOf(value: Node): Relation {
    switch (value.type) {
      case "BASE_TABLE": {
        const isQualified = value["schema_name"] !== undefined || value["catalog_name"] !== undefined
        const named = isQualified ? undefined : this.tables.get(nameOf(value["table_name"]))
        if (named?.work !== undefined) this.work.refer(named.work)
        return named ?? table
      }
      case "SUBQUERY": {
        const query = value["subquery"]
        return isNode(query) && isNode(query["node"]) ? { ...this.query(query["node"]), parts: 0 } : table
      }
      case "EXPRESSION_LIST": {
        const rows = listOf(value["values"])
        this.expression({ rows: rows.flat() })
        return relation(this.budget.bounded(listOf(rows[0]).length), this.width)
      }
      case "PIVOT": {
        const from: Array<Relation> = []
        const { parts, work } = this
        const { mark } = work
        const source = this.from(value["source"], from)
        this.expression({ aggregates: value["aggregates"], pivots: value["pivots"] })
        const isUnpivot = listOf(value["unpivot_names"]).length > 0
        if (isUnpivot) this.repeat(parts, mark, timesOf.unpivot)
        const widest = from.reduce((most, each) => Math.max(most, widestOf(each)), 1)
        return {
          ...relation(this.budget.bounded(isUnpivot ? source : pivoted(value))),
          isOpen: true,
          others: widest
        }
      }
      case "SHOW_REF": {
        const { query } = value
        const { mark } = this.work
        const columns = isNode(query) ? this.query(query).columns : 1
        if (value["show_type"] !== "SUMMARY") return table
        this.copy(columns * partsOfSummary)
        this.work.repeat(mark, timesOf.summary)
        return table
      }
      default: {
        this.call(value)
        return { ...relation(1, this.width), isOpen: true }
      }
    }
  }
}
