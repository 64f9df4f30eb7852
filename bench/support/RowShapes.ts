/**
 * The rows that `rows` is measured with: as DuckDB prints them with `numbers: "string"`.
 */
export type Shape = "trades" | "doubles" | "texts" | "narrow"

const pad = (n: number, digits: number): string => String(n).padStart(digits, "0")

const words = "the quick brown fox jumps over the lazy dog and is not seen again ".repeat(8)

const texts: Record<Shape, (i: number) => string> = {
  trades: (i) =>
    `{"id":"${i}","ts":"2024-01-02 09:${pad(i % 60, 2)}:${pad((i * 7) % 60, 2)}.${pad(i % 1000, 3)}","symbol":"SYM${(i * 7919) % 500}","price":"${(100 + ((i * 104729) % 100003) / 997).toFixed(4)}","size":${(i * 31) % 10000},"note":"order ${(i * 15485863) % 9999991} filled on venue ${i % 17}"}`,
  doubles: (i) =>
    `{"id":${i},"x":${Math.sin(i)},"y":${Math.cos(i) * 1000},"z":${Math.sqrt(i + 2)},"w":${Math.log(i + 2)}}`,
  texts: (i) => `{"id":${i},"title":"é ${i}","text":"${words}"}`,
  narrow: (i) => `{"id":${i}}`
}

const columns: Record<Shape, ReadonlyArray<readonly [name: string, type: string, wideNumbers?: true]>> = {
  trades: [
    ["id", "BIGINT", true],
    ["ts", "TIMESTAMP"],
    ["symbol", "VARCHAR"],
    ["price", "DECIMAL(18,4)", true],
    ["size", "INTEGER"],
    ["note", "VARCHAR"]
  ],
  doubles: [
    ["id", "INTEGER"],
    ["x", "DOUBLE"],
    ["y", "DOUBLE"],
    ["z", "DOUBLE"],
    ["w", "DOUBLE"]
  ],
  texts: [
    ["id", "INTEGER"],
    ["title", "VARCHAR"],
    ["text", "VARCHAR"]
  ],
  narrow: [["id", "INTEGER"]]
}

export const columnsOf = (shape: Shape) =>
  columns[shape].map(([name, type, wideNumbers]) => ({ name, type, ...(wideNumbers && { wideNumbers }) }))

/** So many bytes of rows, at least. */
export const bytesOf = (shape: Shape, size: number): Buffer => {
  const lines: Array<string> = []
  for (let length = 0, i = 0; length < size; i++) {
    const line = `${texts[shape](i)}\n`
    lines.push(line)
    length += line.length
  }
  return Buffer.from(lines.join(""))
}
