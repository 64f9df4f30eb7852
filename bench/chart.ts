/**
 * Shows results: the chart of ratios, and the tables of README.md, from the JSON file that the benches wrote.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import type { Row } from "./support/Figures.ts"
import * as Results from "./support/Results.ts"

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))

interface Bar {
  readonly name: string
  readonly ratio: number
}

interface Group {
  readonly title: string
  readonly bars: ReadonlyArray<Bar>
}

interface Panel {
  readonly title: string
  readonly subtitle: string
  readonly groups: ReadonlyArray<Group>
}

/** The ratios of a bench by case, without the baseline's own. */
const groups = (results: Results.Results, bench: string, prefix: string): ReadonlyArray<Group> => {
  const byCase = new Map<string, Array<Bar>>()
  for (const row of results[bench]?.rows ?? []) {
    const name = String(row["server"])
    if (name === "raw") continue
    const title = `${prefix}${row["case"]}`
    byCase.set(title, [...(byCase.get(title) ?? []), { name, ratio: Number(row["ratio"]) }])
  }
  return [...byCase].map(([title, bars]) => ({ title, bars }))
}

const panels = (results: Results.Results): ReadonlyArray<Panel> => [
  {
    title: "The same protocol",
    subtitle: "All loaded by the same client.",
    groups: [
      ...groups(results, "bulk", "bulk, "),
      ...groups(results, "small", "small results, "),
      ...groups(results, "fan-out", "fan-out, "),
      ...groups(results, "chunks", "")
    ]
  },
  {
    title: "Other protocols on Node",
    subtitle: "Each loaded by its own client on Node.",
    groups: groups(results, "peers", "")
  }
]

const layout = { width: 1000, top: 100, bar: 15, gap: 3, group: 34, label: 170, value: 44, margin: 24 }

const escape = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

const text = (x: number, y: number, content: string, attributes = "") =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${escape(content)}</text>`

const groupHeight = ({ bars }: Group) => layout.group + bars.length * (layout.bar + layout.gap)

const panelHeight = ({ groups }: Panel) => groups.reduce((sum, group) => sum + groupHeight(group), 0)

const drawPanel = (panel: Panel, left: number, width: number, limit: number, height: number): string => {
  const start = left + layout.label
  const scale = (width - layout.label - layout.value) / limit
  const bottom = layout.top + height
  const parts = [text(left, 70, panel.title, 'class="title"'), text(left, 90, panel.subtitle, 'class="note"')]
  for (let tick = 0; tick <= limit; tick += limit > 4 ? 1 : 0.5) {
    const x = start + tick * scale
    const kind = tick === 1 ? "baseline" : "tick"
    parts.push(`<line x1="${x}" x2="${x}" y1="${layout.top}" y2="${bottom}" class="${kind}"/>`)
    parts.push(text(x, bottom + 16, String(tick), 'class="note" text-anchor="middle"'))
  }
  let y = layout.top
  for (const group of panel.groups) {
    parts.push(text(left, y + layout.group - 10, group.title, 'class="group"'))
    y += layout.group
    for (const { name, ratio } of group.bars) {
      const own = name.startsWith("DataConn") ? "own" : "other"
      const baseline = y + layout.bar - 3.5
      parts.push(text(start - 8, baseline, name, `class="${own}" text-anchor="end"`))
      parts.push(
        `<rect x="${start}" y="${y}" width="${(ratio * scale).toFixed(1)}" height="${layout.bar}" class="${own}"/>`
      )
      parts.push(text(start + ratio * scale + 5, baseline, ratio.toFixed(2), `class="${own}"`))
      y += layout.bar + layout.gap
    }
  }
  return parts.join("\n")
}

const style = `
  text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: #57606a; stroke: #fff; stroke-width: 3px; paint-order: stroke }
  text.title { font-size: 16px; font-weight: 600; fill: #1f2328 }
  text.group { font-weight: 600; fill: #1f2328 }
  text.own { fill: #1f2328 }
  rect.own { fill: #1a66c8 }
  rect.other { fill: #b4bcc6 }
  line.tick { stroke: #e4e8ec }
  line.baseline { stroke: #57606a; stroke-dasharray: 3 3 }`

const heading = "Speed, as a multiple of a hand-written node:net server's (dashed line)"

/** All bars are on one scale that begins at nought. */
export const svg = (results: Results.Results): string => {
  const shown = panels(results).filter(({ groups }) => groups.length > 0)
  const ratios = shown.flatMap(({ groups }) => groups.flatMap(({ bars }) => bars.map(({ ratio }) => ratio)))
  const limit = Math.ceil(Math.max(1, ...ratios) * 2) / 2
  const height = Math.max(...shown.map(panelHeight))
  const width = (layout.width - layout.margin * (shown.length + 1)) / shown.length
  const drawn = shown.map((panel, i) =>
    drawPanel(panel, layout.margin + i * (width + layout.margin), width, limit, height)
  )
  const size = `width="${layout.width}" height="${layout.top + height + 28}"`
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} viewBox="0 0 ${layout.width} ${layout.top + height + 28}">
<title>${heading}</title>
<style>${style}</style>
<rect width="100%" height="100%" fill="#fff"/>
${text(layout.margin, 30, heading, 'class="title"')}
${drawn.join("\n")}
</svg>
`
}

const cell = (value: string | number | null | undefined): string =>
  typeof value === "number" ? value.toLocaleString("en", { maximumSignificantDigits: 4 }) : (value ?? "")

const table = (rows: ReadonlyArray<Row>): string => {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  const line = (cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`
  return [
    line(columns),
    `|${"---|".repeat(columns.length)}`,
    ...rows.map((row) => line(columns.map((column) => cell(row[column]))))
  ].join("\n")
}

/** A README with each result in the place that its markers keep for it. */
export const fill = (readme: string, results: Results.Results): string =>
  readme.replaceAll(/(<!-- result (\S+) -->\n)[\s\S]*?(<!-- \/result -->)/g, (whole, open, bench, close) => {
    const result = results[bench]
    if (result === undefined) return whole
    const { machine, node, repeats, rows } = result
    const how = `\`npm run bench -- ${bench} --repeats ${repeats}\`; Node ${node.slice(1)}, ${machine}.`
    return `${open}${how}\n\n${table(rows)}\n${close}`
  })

/** Draws the chart and fills the README of this folder. */
export const draw = (path = here("results.json")): void => {
  const results = Results.read(path)
  writeFileSync(here("ratios.svg"), svg(results))
  const readme = here("README.md")
  writeFileSync(readme, fill(readFileSync(readme, "utf8"), results))
}
