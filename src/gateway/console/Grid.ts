/**
 * A grid of any number of rows: visible rows are elements, and others are requested when they come into
 * sight.
 *
 * Browsers limit the height of an element. With more rows than that, the scroll bar is proportional, and the
 * wheel and keys move by rows.
 */
import * as Copying from "./Copying.ts"
import * as Format from "./Format.ts"
import type { Column, Row } from "./Messages.ts"

const rowHeight = 26
/** Below the limit of browsers. */
const maxHeight = 8_000_000
const minWidth = 40
/** The padding of a cell. */
const cellPadding = 18
/** The assumed width of a character. */
const characterWidth = 8
const maxWidth = 420
/** The maximum length of a cell's text, and of its tooltip. */
const maxShown = 1000
/** The minimum number of digits in the column of row numbers, so that it rarely grows while rows arrive. */
const minDigits = 5

/** The source of the rows. */
export interface Source {
  readonly columns: ReadonlyArray<Column>
  /** The number of rows by now. */
  readonly count: () => number
  /** Some of the rows, or `undefined` if none will come. */
  readonly rows: (from: number, to: number) => Promise<ReadonlyArray<Row> | undefined>
}

/** A cell of the result. */
export interface Cell {
  readonly column: Column
  /** The index of its row. */
  readonly row: number
  readonly value: unknown
}

const element = (className: string, role?: string): HTMLDivElement => {
  const made = document.createElement("div")
  made.className = className
  if (role !== undefined) made.setAttribute("role", role)
  return made
}

export class Grid {
  private readonly root: HTMLDivElement
  private readonly head: HTMLDivElement
  private readonly canvas: HTMLDivElement
  private readonly openCell: (cell: Cell) => void
  private source: Source | undefined
  private widths: Array<number> = []
  private loaded: { readonly from: number; readonly rows: ReadonlyArray<Row> } = { from: 0, rows: [] }
  /** The pending request. */
  private asked: object | undefined
  /** A length of CSS, which depends on the font. */
  private indexWidth = ""
  private top = 0
  private active: Position = { row: 0, column: 0 }
  /** The last position set on the scroll bar, so that its event is not taken for the user's. */
  private expectedScroll = 0

  /** `open` shows the whole value of a cell. */
  constructor(parent: HTMLElement, open: (cell: Cell) => void) {
    this.openCell = open
    this.root = element("grid", "grid")
    this.root.tabIndex = 0
    this.root.setAttribute("aria-label", "Rows")
    this.head = element("head", "row")
    this.canvas = element("canvas", "rowgroup")
    this.root.append(this.head, this.canvas)
    parent.append(this.root)
    this.root.addEventListener("scroll", () => this.scrolled())
    this.root.addEventListener("wheel", (event) => this.wheel(event), { passive: false })
    this.root.addEventListener("keydown", (event) => this.key(event))
    this.root.addEventListener("pointerdown", (event) => this.point(event))
    this.root.addEventListener("dblclick", (event) => {
      if (this.point(event)) this.open()
    })
    Copying.handle(this.root, (selection) => this.copied(selection))
    // Safari copies without a selection only then.
    this.root.addEventListener("beforecopy", (event) => event.preventDefault())
    new ResizeObserver(() => this.draw()).observe(this.root)
  }

  focus(): void {
    this.root.focus()
  }

  /** Shows other rows, from the first on. */
  show(source: Source | undefined): void {
    this.source = source
    this.loaded = { from: 0, rows: [] }
    this.asked = undefined
    this.widths = source?.columns.map(({ name, type }) => width(name, type)) ?? []
    this.active = { row: 0, column: 0 }
    this.root.setAttribute("aria-colcount", String((source?.columns.length ?? 0) + 1))
    this.indexWidth = ""
    this.moveTo(0)
  }

  /** More rows have arrived. */
  grow(): void {
    this.draw()
  }

  private get count(): number {
    return this.source?.count() ?? 0
  }

  private get page(): number {
    return Math.max(1, Math.floor((this.root.clientHeight - rowHeight) / rowHeight))
  }

  private get lastTop(): number {
    return Math.max(0, this.count - this.page)
  }

  private get scale(): number {
    return Math.max(1, (this.count * rowHeight) / maxHeight)
  }

  private scrolled(): void {
    if (Math.abs(this.root.scrollTop - this.expectedScroll) < 1) return
    this.expectedScroll = this.root.scrollTop
    this.top = Math.min(this.lastTop, (this.root.scrollTop * this.scale) / rowHeight)
    this.draw()
  }

  private wheel(event: WheelEvent): void {
    if (this.scale === 1 || event.deltaY === 0 || event.ctrlKey) return
    event.preventDefault()
    this.moveTo(this.top + event.deltaY / rowHeight)
  }

  private moveTo(top: number): void {
    this.top = Math.max(0, Math.min(this.lastTop, top))
    this.draw()
    this.expectedScroll = (this.top * rowHeight) / this.scale
    this.root.scrollTop = this.expectedScroll
    this.expectedScroll = this.root.scrollTop
  }

  private drawHead(): void {
    this.head.replaceChildren()
    if (this.source === undefined) return
    const { columns } = this.source
    const index = element("cell index", "columnheader")
    index.style.width = `calc(${this.indexWidth})`
    index.textContent = "#"
    this.head.setAttribute("aria-rowindex", "1")
    this.head.replaceChildren(index, ...columns.map((column, at) => this.headCell(column, at)))
  }

  private headCell({ name, type }: Column, at: number): HTMLElement {
    const cell = element(`cell${Format.isNumeric(type) ? " number" : ""}`, "columnheader")
    cell.style.width = `${this.widths[at]}px`
    cell.title = `${name} ${type}`
    cell.textContent = name
    const handle = element("handle")
    handle.addEventListener("pointerdown", (event) => this.resize(event, at))
    cell.append(handle)
    return cell
  }

  private resize(event: PointerEvent, at: number): void {
    event.preventDefault()
    event.stopPropagation()
    const from = (this.widths[at] ?? minWidth) - event.clientX
    const move = ({ clientX }: PointerEvent) => {
      this.widths[at] = Math.max(minWidth, from + clientX)
      this.drawHead()
      this.draw()
    }
    addEventListener("pointermove", move)
    addEventListener("pointerup", () => removeEventListener("pointermove", move), { once: true })
  }

  /** Draws the visible rows, and requests those that are not loaded. */
  private draw(): void {
    const { count, page } = this
    const indexWidth = `${Math.max(minDigits, Format.count(count).length)}ch + ${cellPadding}px`
    if (indexWidth !== this.indexWidth) {
      this.indexWidth = indexWidth
      this.drawHead()
    }
    this.root.setAttribute("aria-rowcount", String(count + 1))
    this.canvas.style.height = `${Math.min(maxHeight, count * rowHeight)}px`
    this.canvas.style.width = `calc(${this.indexWidth} + ${this.widths.reduce((sum, width) => sum + width, 0)}px)`
    // At the end, part of another row is visible above.
    const from = Math.max(0, Math.floor(this.top) - 1)
    const to = Math.min(count, from + page + 3)
    const offset = (this.top * rowHeight) / this.scale
    const rows: Array<HTMLElement> = []
    for (let at = from; at < to; at++) {
      const row = this.row(at, this.loaded.rows[at - this.loaded.from])
      row.style.transform = `translateY(${offset + (at - this.top) * rowHeight}px)`
      rows.push(row)
    }
    this.canvas.replaceChildren(...rows)
    const isLoaded = from >= this.loaded.from && to <= this.loaded.from + this.loaded.rows.length
    if (!isLoaded && count > 0) void this.load(Math.max(0, from - page), to + page)
  }

  private async load(from: number, to: number): Promise<void> {
    if (this.asked !== undefined || this.source === undefined) return
    const asked = {}
    this.asked = asked
    const rows = await this.source.rows(from, to)
    // Another source is shown by now.
    if (asked !== this.asked) return
    this.asked = undefined
    if (rows === undefined) return
    if (this.loaded.rows.length === 0) this.fit(rows)
    this.loaded = { from, rows }
    // There may be fewer than requested, while they arrive.
    if (rows.length > 0) this.draw()
  }

  /** Widens the columns for the rows that are seen first. */
  private fit(rows: ReadonlyArray<Row>): void {
    this.widths = this.widths.map((width, column) => {
      const name = this.source?.columns[column]?.name ?? ""
      const longest = Math.max(0, ...rows.map((row) => Format.cell(row[name])?.length ?? 0))
      return Math.max(width, Math.min(maxWidth, longest * characterWidth + cellPadding))
    })
    this.drawHead()
  }

  private row(at: number, values: Row | undefined): HTMLElement {
    const row = element("row", "row")
    row.setAttribute("aria-rowindex", String(at + 2))
    row.dataset["row"] = String(at)
    const index = element("cell index number", "rowheader")
    index.style.width = `calc(${this.indexWidth})`
    index.textContent = Format.count(at + 1)
    const columns = this.source?.columns ?? []
    const cells = columns.map(({ name, type }, column) => {
      const text = values === undefined ? "" : Format.cell(values[name])
      const kind = text === undefined ? " null" : Format.isNumeric(type) ? " number" : ""
      const cell = element(`cell${kind}`, "gridcell")
      cell.style.width = `${this.widths[column]}px`
      cell.textContent = text?.slice(0, maxShown) ?? "NULL"
      cell.title = values === undefined ? "" : Format.text(values[name]).slice(0, maxShown)
      if (at === this.active.row && column === this.active.column) this.activate(cell)
      return cell
    })
    row.append(index, ...cells)
    return row
  }

  private activate(cell: HTMLElement): void {
    cell.classList.add("active")
    cell.id = "active-cell"
    this.root.setAttribute("aria-activedescendant", cell.id)
  }

  /** Makes a clicked cell the active one. Its element stays, so that a double click is one. */
  private point({ target }: Event): boolean {
    const cell = (target as HTMLElement).closest<HTMLElement>('[role="gridcell"]')
    const row = cell?.parentElement
    if (cell === null || row?.dataset["row"] === undefined) return false
    this.active = { row: Number(row.dataset["row"]), column: [...row.children].indexOf(cell) - 1 }
    const last = this.canvas.querySelector("#active-cell")
    last?.classList.remove("active")
    last?.removeAttribute("id")
    this.activate(cell)
    return true
  }

  private key(event: KeyboardEvent): void {
    // It would select the page, of the rows only those in sight.
    if (Copying.isSelectAll(event)) event.preventDefault()
    const isFar = event.ctrlKey || event.metaKey
    if (event.key === "Enter" && !isFar) {
      event.preventDefault()
      this.open()
      return
    }
    const { column, row } = this.active
    const last = { row: this.count - 1, column: (this.source?.columns.length ?? 1) - 1 }
    const next = moves(event.key, isFar, { row, column }, last, this.page)
    if (next === undefined || this.count === 0) return
    event.preventDefault()
    this.active = {
      row: Math.max(0, Math.min(last.row, next.row)),
      column: Math.max(0, Math.min(last.column, next.column))
    }
    if (this.active.row < this.top) this.moveTo(this.active.row)
    else if (this.active.row >= Math.floor(this.top) + this.page) this.moveTo(this.active.row - this.page + 1)
    else this.draw()
    this.canvas.querySelector("#active-cell")?.scrollIntoView({ block: "nearest", inline: "nearest" })
  }

  /** A cell, if it is loaded. */
  private cell({ column: at, row }: Position): Cell | undefined {
    const values = this.loaded.rows[row - this.loaded.from]
    const column = this.source?.columns[at]
    return values === undefined || column === undefined
      ? undefined
      : { column, row, value: values[column.name] }
  }

  private open(): void {
    const cell = this.cell(this.active)
    if (cell !== undefined) this.openCell(cell)
  }

  /**
   * The text to copy: the whole values of the selected cells, or that of the active one. Of one cell a part
   * may be selected: `undefined` leaves that to the browser.
   */
  private copied(selection: Selection | undefined): string | undefined {
    const rows = [...this.canvas.children].map((row) =>
      [...row.children].flatMap((cell, at) =>
        at > 0 && selection?.containsNode(cell, true) === true
          ? [{ row: Number((row as HTMLElement).dataset["row"]), column: at - 1 }]
          : []
      )
    )
    const selected = rows.filter((row) => row.length > 0)
    if (selected.length > 1 || (selected[0]?.length ?? 0) > 1)
      return Copying.table(selected.map((row) => row.map((at) => copyOf(this.cell(at)))))
    const active = this.cell(this.active)
    return selection !== undefined || active === undefined ? undefined : copyOf(active)
  }
}

const copyOf = (cell: Cell | undefined): string => (cell?.value === null ? "" : Format.text(cell?.value))

interface Position {
  readonly row: number
  readonly column: number
}

/** The cell that a key moves to; `undefined` if it does not move. */
const moves = (
  key: string,
  isFar: boolean,
  at: Position,
  last: Position,
  page: number
): Position | undefined => {
  switch (key) {
    case "ArrowDown":
      return { ...at, row: isFar ? last.row : at.row + 1 }
    case "ArrowUp":
      return { ...at, row: isFar ? 0 : at.row - 1 }
    case "ArrowRight":
      return { ...at, column: isFar ? last.column : at.column + 1 }
    case "ArrowLeft":
      return { ...at, column: isFar ? 0 : at.column - 1 }
    case "PageDown":
      return { ...at, row: at.row + page }
    case "PageUp":
      return { ...at, row: at.row - page }
    case "Home":
      return isFar ? { row: 0, column: 0 } : { ...at, column: 0 }
    case "End":
      return isFar ? last : { ...at, column: last.column }
    default:
      return undefined
  }
}

const width = (name: string, type: string): number => {
  const characters = Format.isNumeric(type) ? 12 : /^TIMESTAMP/.test(type) ? 27 : type === "BOOLEAN" ? 7 : 22
  return Math.min(maxWidth, Math.max(characters, name.length + 2) * characterWidth + cellPadding)
}
