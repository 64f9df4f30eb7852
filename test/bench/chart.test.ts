import { assert, describe, it } from "@effect/vitest"
import * as Chart from "../../bench/chart.ts"
import type { Row } from "../../bench/support/Figures.ts"
import type { Results } from "../../bench/support/Results.ts"

const results = (rows: Readonly<Record<string, ReadonlyArray<Row>>>): Results =>
  Object.fromEntries(
    Object.entries(rows).map(([bench, rows]) => [
      bench,
      { bench, node: "v26.1.0", machine: "2 cores", quick: false, repeats: 3, rows }
    ])
  )

describe("the chart", () => {
  const svg = Chart.svg(
    results({
      bulk: [
        { case: "64 KiB", server: "raw", ratio: 1 },
        { case: "64 KiB", server: "DataConn", ratio: 1.25 },
        { case: "64 KiB", server: "C++", ratio: 0.5 }
      ],
      peers: [{ case: "64 KiB", server: "ws", ratio: 2 }]
    })
  )

  it("draws all ratios on one scale that begins at nought", () => {
    const widths = [...svg.matchAll(/<rect x="[\d.]+" y="[\d.]+" width="([\d.]+)"/g)].map(([, width]) =>
      Number(width)
    )
    assert.strictEqual(widths.length, 3)
    const [dataConn = 0, native = 0, ws = 0] = widths
    assert.closeTo(dataConn / native, 2.5, 0.01)
    assert.closeTo(ws / native, 4, 0.01)
  })

  it("puts the baseline where the ratio is 1", () => {
    const [, line] = /<line x1="([\d.]+)" [^>]* class="baseline"/.exec(svg) ?? []
    const [, start, width] =
      /<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" [^>]* class="own"/.exec(svg) ?? []
    assert.closeTo(Number(line) - Number(start), Number(width) / 1.25, 0.1)
  })
})

describe("the README of the benches", () => {
  it("gets each result between its markers, and keeps what has none", () => {
    const readme =
      "# A\n<!-- result bulk -->\nold\n<!-- /result -->\n<!-- result small -->\nkept\n<!-- /result -->\n"
    assert.strictEqual(
      Chart.fill(
        readme,
        results({
          bulk: [
            { case: "64 KiB", ratio: 1.25, "MB/s": null },
            { case: "1 MiB", ratio: 2 }
          ]
        })
      ),
      `# A
<!-- result bulk -->
\`npm run bench -- bulk --repeats 3\`; Node 26.1.0, 2 cores.

| case | ratio | MB/s |
|---|---|---|
| 64 KiB | 1.25 |  |
| 1 MiB | 2 |  |
<!-- /result -->
<!-- result small -->
kept
<!-- /result -->
`
    )
  })
})
