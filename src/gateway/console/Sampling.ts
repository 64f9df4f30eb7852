/**
 * Reduces rows to the points of a chart: of as many rows as make a point, the least and the greatest value stay, so
 * that no peak is lost. Pure.
 */
import type { Row, Sample, SampleRequest } from "./Messages.ts"

/** A value of a numeric column; integers and decimals may come as text. */
const numeric = (value: unknown): number | null => {
  if (typeof value === "number") return Number.isFinite(value) ? value : null
  if (typeof value === "boolean") return value ? 1 : 0
  if (typeof value !== "string" || value.trim() === "") return null
  const number = Number(value)
  return Number.isFinite(number) ? number : null
}

/** The points of a chart of `total` rows, which are pushed in their order. */
export class Sampler {
  private readonly request: SampleRequest
  private readonly rowsPerPoint: number
  private readonly x: Array<unknown> = []
  private readonly ys: ReadonlyArray<Array<number | null>>
  private count = 0
  private firstX: unknown
  private least: Array<number | null> = []
  private greatest: Array<number | null> = []

  constructor(request: SampleRequest, total: number) {
    this.request = request
    // Two points for each stretch of rows.
    this.rowsPerPoint = total <= request.points ? 1 : Math.ceil((total * 2) / request.points)
    this.ys = request.ys.map(() => [])
  }

  push(rows: ReadonlyArray<Row>): void {
    for (const row of rows) this.add(row)
  }

  private add(row: Row): void {
    const x = row[this.request.x]
    const values = this.request.ys.map((name) => numeric(row[name]))
    if (this.rowsPerPoint === 1) {
      this.point(x, values)
      return
    }
    if (this.count === 0) {
      this.firstX = x
      this.least = values
      this.greatest = values.slice()
    } else {
      values.forEach((value, at) => {
        if (value === null) return
        const least = this.least[at] ?? null
        const greatest = this.greatest[at] ?? null
        if (least === null || value < least) this.least[at] = value
        if (greatest === null || value > greatest) this.greatest[at] = value
      })
    }
    this.count++
    if (this.count === this.rowsPerPoint) this.flush(x)
  }

  private flush(x: unknown): void {
    this.point(this.firstX, this.least)
    this.point(x, this.greatest)
    this.count = 0
  }

  private point(x: unknown, values: ReadonlyArray<number | null>): void {
    this.x.push(x)
    for (const [at, value] of values.entries()) this.ys[at]?.push(value)
  }

  get sample(): Sample {
    if (this.count > 0) this.flush(this.firstX)
    return { x: this.x, ys: this.ys, isReduced: this.rowsPerPoint > 1 }
  }
}
