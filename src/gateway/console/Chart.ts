/**
 * A chart of a result: one column horizontally, one or more vertically. While rows arrive it shows those that
 * are there.
 */
import uPlot from "uplot"
import * as Axes from "./Axes.ts"
import * as Format from "./Format.ts"
import type { Column, Sample, SampleRequest } from "./Messages.ts"
import type { Run } from "./Run.ts"

const maxSeries = 6
const colors = ["#2f7ec2", "#d1751c", "#2e9462", "#b8443f", "#7b5cc4", "#8a6d3b"]

const kinds = ["Lines", "Bars", "Points"] as const

type Kind = (typeof kinds)[number]

/** The horizontal column: the first with a time, or else the first. */
const along = (columns: ReadonlyArray<Column>): string =>
  (columns.find(({ type }) => Format.isTemporal(type)) ?? columns[0])?.name ?? ""

const numbersOf = (columns: ReadonlyArray<Column>): ReadonlyArray<string> =>
  columns.filter(({ type }) => Format.isNumeric(type)).map(({ name }) => name)

const none: ReadonlyArray<Column> = []

/** The height of the legend. */
const legendHeight = 40

/** A plot, and the key of its inputs. */
interface Drawn {
  readonly plot: uPlot
  readonly key: string
  along: Axes.Along
  total: number
}

export class Chart {
  private readonly parent: HTMLElement
  private readonly body = document.createElement("div")
  private readonly note = document.createElement("p")
  private drawn: Drawn | undefined
  private run: Run | undefined
  private columns = none
  private x = ""
  private ys: ReadonlyArray<string> = []
  private kind: Kind = "Lines"
  /** The pending request, and whether something has changed since. */
  private asked: SampleRequest | undefined
  private isStale = false

  constructor(parent: HTMLElement) {
    this.parent = parent
    this.body.className = "plot"
    new ResizeObserver(() => this.drawn?.plot.setSize(this.size)).observe(this.body)
  }

  private get size() {
    return {
      width: Math.max(200, this.body.clientWidth),
      height: Math.max(140, this.body.clientHeight - legendHeight)
    }
  }

  /** Shows a run's rows as they are now. */
  show(run: Run | undefined): void {
    if (run !== this.run || (run?.columns ?? none) !== this.columns) this.choose(run)
    void this.refresh()
  }

  /** Redraws the plot, in other colours. */
  recolor(): void {
    this.drawn?.plot.redraw()
  }

  /** Replaces the shown run, at once. */
  private choose(run: Run | undefined): void {
    const columns = run?.columns ?? none
    const numbers = numbersOf(columns)
    this.run = run
    this.columns = columns
    this.x = along(columns)
    this.ys = numbers.filter((name) => name !== this.x).slice(0, 1)
    // The only column of numbers is shown over the rows' order.
    if (this.ys.length === 0) this.ys = numbers
    this.asked = undefined
    this.say("")
    this.parent.replaceChildren(
      ...(numbers.length === 0 ? [] : [this.choices(numbers)]),
      this.note,
      this.body
    )
  }

  /** Shows a text instead of a plot. */
  private say(text: string): void {
    this.drawn?.plot.destroy()
    this.drawn = undefined
    this.note.textContent = ""
    this.body.textContent = text
  }

  private async refresh(): Promise<void> {
    const { run, x, ys } = this
    if (run === undefined || (ys.length === 0 && (this.columns.length > 0 || !run.isRunning))) {
      this.say("A chart needs a result with a column of numbers.")
      return
    }
    this.isStale = this.asked !== undefined
    if (this.isStale) return
    const asked = { x, ys }
    this.asked = asked
    if (this.drawn === undefined) this.say("Drawing…")
    const sample = await run.sample(asked)
    // Another run is shown by now, or other columns.
    if (this.asked !== asked) return
    this.asked = undefined
    if (sample === undefined) this.say(run.trouble)
    else this.draw(run, sample)
    if (this.isStale) void this.refresh()
  }

  private draw(run: Run, sample: Sample): void {
    const { total } = sample
    if (total === 0) {
      this.say(run.isRunning ? "Drawing…" : "There are no rows.")
      return
    }
    const type = this.columns.find(({ name }) => name === this.x)?.type ?? ""
    const along = Axes.along(sample, type, this.x === this.ys[0])
    const key = JSON.stringify([this.x, this.ys, this.kind, along.kind])
    const data = [along.values, ...sample.ys] as unknown as uPlot.AlignedData
    if (this.drawn?.key !== key) this.drawn = this.plot({ key, along, total }, data)
    else if (this.drawn.total !== total) {
      this.drawn.along = along
      this.drawn.total = total
      this.drawn.plot.setData(data)
    }
    this.note.textContent = run.isRunning
      ? `Drawing… ${Format.count(total)} rows so far`
      : sample.isReduced
        ? `${Format.count(total)} rows: each point has the least or the greatest value of its stretch.`
        : ""
  }

  private plot(made: Omit<Drawn, "plot">, data: uPlot.AlignedData): Drawn {
    this.say("")
    const { kind } = made.along
    const current = () => this.drawn?.along ?? made.along
    const plot = new uPlot(
      {
        ...this.size,
        ...Axes.make(current, () => getComputedStyle(this.parent).color),
        scales: { x: { time: kind === "Time" } },
        series: [
          {
            label: kind === "Row" ? "row" : this.x,
            ...(kind === "Time"
              ? {}
              : { value: (_, __, ___, at) => (at === null ? "--" : current().name(at)) })
          },
          ...this.ys.map((label, at) => ({
            label,
            value: (_: uPlot, value: number | null) => (value === null ? "--" : Format.number(value)),
            ...this.paths(colors[at % colors.length] as string)
          }))
        ]
      },
      data,
      this.body
    )
    return { ...made, plot }
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

  private choices(numbers: ReadonlyArray<string>): HTMLElement {
    const bar = document.createElement("div")
    bar.className = "bar"
    const names = this.columns.map(({ name }) => name)
    bar.append(
      select("Along", names, [this.x], ([chosen]) => this.change({ x: chosen })),
      select("Values", numbers, this.ys, (chosen) => this.change({ ys: chosen.slice(0, maxSeries) }), true),
      select("As", kinds, [this.kind], ([chosen]) => this.change({ kind: chosen }))
    )
    return bar
  }

  private change({ kind = this.kind, x = this.x, ys = this.ys }: Partial<Choice>): void {
    this.kind = kind
    this.x = x
    this.ys = ys
    this.asked = undefined
    void this.refresh()
  }
}

interface Choice {
  readonly kind: Kind | undefined
  readonly x: string | undefined
  readonly ys: ReadonlyArray<string>
}

const select = <A extends string>(
  label: string,
  options: ReadonlyArray<A>,
  chosen: ReadonlyArray<A>,
  choose: (chosen: ReadonlyArray<A>) => void,
  isMultiple = false
): HTMLElement => {
  const field = document.createElement("label")
  field.className = "field"
  const box = document.createElement("select")
  box.multiple = isMultiple
  if (isMultiple) box.size = Math.min(3, Math.max(1, options.length))
  for (const name of options) box.append(new Option(name, name, false, chosen.includes(name)))
  box.addEventListener("change", () => choose([...box.selectedOptions].map(({ value }) => value as A)))
  field.append(label, box)
  return field
}
