/**
 * A chart of a result: one column along, one or more upwards.
 */
import uPlot from "uplot"
import * as Format from "./Format.ts"
import type { Column, Sample } from "./Messages.ts"
import type { Run } from "./Run.ts"

const maxPoints = 4000
const maxSeries = 6
const colors = ["#2f7ec2", "#d1751c", "#2e9462", "#b8443f", "#7b5cc4", "#8a6d3b"]

const kinds = ["Lines", "Bars", "Points"] as const

type Kind = (typeof kinds)[number]

/** The column along: the first that tells a time, or else the first. */
const along = (columns: ReadonlyArray<Column>): string | undefined =>
  (columns.find(({ type }) => Format.isTemporal(type)) ?? columns[0])?.name

export class Chart {
  private readonly parent: HTMLElement
  private plot: uPlot | undefined
  private run: Run | undefined
  private x = ""
  private ys: ReadonlyArray<string> = []
  private kind: Kind = "Lines"

  constructor(parent: HTMLElement) {
    this.parent = parent
    new ResizeObserver(() => {
      if (this.plot !== undefined) this.plot.setSize(this.size)
    }).observe(parent)
  }

  private get size() {
    return {
      width: Math.max(200, this.parent.clientWidth - 24),
      height: Math.max(160, this.parent.clientHeight - 110)
    }
  }

  /** Shows a run's rows as they are now. */
  async show(run: Run | undefined): Promise<void> {
    if (run !== this.run) this.choose(run)
    if (run === undefined || this.ys.length === 0) {
      this.message("A chart needs a result with a column of numbers.")
      return
    }
    const sample = await run.sample({ x: this.x, ys: this.ys, points: maxPoints })
    if (run === this.run) this.draw(run, sample)
  }

  private choose(run: Run | undefined): void {
    const columns = run?.columns ?? []
    this.run = run
    this.x = along(columns) ?? ""
    this.ys = columns
      .filter(({ name, type }) => Format.isNumeric(type) && name !== this.x)
      .slice(0, 1)
      .map(({ name }) => name)
    // A single column of numbers is shown over the rows' order.
    if (this.ys.length === 0 && columns.length === 1 && Format.isNumeric(columns[0]?.type ?? ""))
      this.ys = [this.x]
  }

  private message(text: string): void {
    this.plot?.destroy()
    this.plot = undefined
    const paragraph = document.createElement("p")
    paragraph.textContent = text
    this.parent.replaceChildren(paragraph)
  }

  private draw(run: Run, sample: Sample): void {
    this.plot?.destroy()
    const { columns } = run
    const type = columns.find(({ name }) => name === this.x)?.type ?? ""
    const scale = axis(sample.x, type, this.x === this.ys[0])
    const holder = document.createElement("div")
    this.parent.replaceChildren(this.choices(columns), holder)
    const color = getComputedStyle(this.parent).color
    const lines = { stroke: color, grid: { stroke: "#8884" }, ticks: { stroke: "#8884" } }
    this.plot = new uPlot(
      {
        ...this.size,
        scales: { x: { time: scale.isTime } },
        axes: [{ ...lines, ...(scale.labels === undefined ? {} : { values: scale.labels }) }, lines],
        series: [
          { label: this.x === this.ys[0] ? "row" : this.x },
          ...this.ys.map((label, at) => ({ label, ...this.paths(colors[at % colors.length] as string) }))
        ]
      },
      [scale.values, ...sample.ys] as unknown as uPlot.AlignedData,
      holder
    )
    if (sample.isReduced) {
      const note = document.createElement("p")
      note.textContent = `${Format.count(run.progress.kept)} rows: each point has the least or the greatest value of its stretch.`
      this.parent.append(note)
    }
  }

  private paths(color: string): Partial<uPlot.Series> {
    switch (this.kind) {
      case "Lines":
        return { stroke: color, width: 1.5 }
      case "Bars":
        return {
          stroke: color,
          fill: `${color}88`,
          paths: uPlot.paths.bars?.({ size: [0.8, 60] }) as uPlot.Series.PathBuilder
        }
      case "Points":
        return { stroke: color, paths: () => null, points: { show: true, size: 5 } }
    }
  }

  private choices(columns: ReadonlyArray<Column>): HTMLElement {
    const bar = document.createElement("div")
    bar.className = "bar"
    const numbers = columns.filter(({ type }) => Format.isNumeric(type)).map(({ name }) => name)
    bar.append(
      select(
        "Along",
        columns.map(({ name }) => name),
        [this.x],
        (chosen) => {
          this.x = chosen[0] ?? this.x
        },
        this.again
      ),
      select(
        "Values",
        numbers,
        this.ys,
        (chosen) => {
          this.ys = chosen.slice(0, maxSeries)
        },
        this.again,
        true
      ),
      select(
        "As",
        kinds,
        [this.kind],
        (chosen) => {
          this.kind = (chosen[0] as Kind | undefined) ?? this.kind
        },
        this.again
      )
    )
    return bar
  }

  private readonly again = (): void => void this.show(this.run)
}

const select = (
  label: string,
  options: ReadonlyArray<string>,
  chosen: ReadonlyArray<string>,
  choose: (chosen: ReadonlyArray<string>) => void,
  after: () => void,
  isMultiple = false
): HTMLElement => {
  const field = document.createElement("label")
  field.className = "field"
  const box = document.createElement("select")
  box.multiple = isMultiple
  if (isMultiple) box.size = Math.min(3, Math.max(1, options.length))
  for (const name of options) box.append(new Option(name, name, false, chosen.includes(name)))
  box.addEventListener("change", () => {
    choose([...box.selectedOptions].map(({ value }) => value))
    after()
  })
  field.append(label, box)
  return field
}

interface Scale {
  readonly values: ReadonlyArray<number>
  readonly isTime: boolean
  readonly labels?: ((plot: uPlot, splits: Array<number>) => Array<string>) | undefined
}

/** Numbers and times as they are, in order; anything else by its place, with its text as a label. */
const axis = (values: ReadonlyArray<unknown>, type: string, isOwnValue: boolean): Scale => {
  const places = values.map((_, at) => at)
  if (isOwnValue) return { values: places, isTime: false }
  const isTime = Format.isTemporal(type)
  const numbers = values.map((value) =>
    isTime ? seconds(value) : Format.isNumeric(type) ? Number(value) : Number.NaN
  )
  const isSorted = numbers.every(
    (value, at) => Number.isFinite(value) && (at === 0 || value >= (numbers[at - 1] as number))
  )
  if (isSorted) return { values: numbers, isTime }
  return {
    values: places,
    isTime: false,
    labels: (_, splits) => splits.map((at) => Format.cell(values[at]) ?? "")
  }
}

const seconds = (value: unknown): number =>
  typeof value === "string"
    ? Date.parse(value.includes("T") || !value.includes(" ") ? value : value.replace(" ", "T")) / 1000
    : Number.NaN
